#!/bin/sh
# How long may a PROXY header of version 2 be for nginx (stream), and does it mind a wrong command, family or address?
LEND=1
. "$(dirname "$0")/lab.sh"
cat >nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid /run/scratch/pid; error_log stderr error;
events {}
stream { server { listen 192.0.2.80:80 proxy_protocol; proxy_pass 203.0.113.20:8080;
  proxy_bind \$proxy_protocol_addr transparent; } }
EOF
ends server server 203.0.113.20 8080 mute >server.log &
until_listening server 8080
in_ proxy nginx -c /run/scratch/nginx.conf -p /run/scratch &
until_listening proxy 80
in_ client /usr/bin/python3 - <<'EOF'
import socket, struct
def v2(command=0x21, family=0x11, more=b""):
    body = socket.inet_aton("198.51.100.77") + socket.inet_aton("192.0.2.80") + struct.pack("!HH", 1234, 80) + more
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(body)) + body
cases = {
    "as it should be": v2(),
    "with 4000 bytes of vectors": v2(more=struct.pack("!BH", 4, 3997) + bytes(3997)),
    "with 8000 bytes of vectors": v2(more=struct.pack("!BH", 4, 7997) + bytes(7997)),
    "version 2, command 2": v2(command=0x22),
    "family 4": v2(family=0x41),
    "protocol 3": v2(family=0x13),
    "version 1, address 999.1.1.1": b"PROXY TCP4 999.1.1.1 192.0.2.80 1234 80\r\n",
    "version 1, address 198.51.100": b"PROXY TCP4 198.51.100 192.0.2.80 1234 80\r\n",
    "version 1, port 99999": b"PROXY TCP4 198.51.100.77 192.0.2.80 99999 80\r\n",
}
for name, header in cases.items():
    with socket.create_connection(("192.0.2.80", 80)) as made:
        made.settimeout(1)
        made.sendall(header + name.encode())
        try:
            made.recv(1)
            how = "ended"
        except TimeoutError:
            how = "taken"
        except ConnectionResetError:
            how = "reset"
    print(f"{name}: {how}")
EOF
sleep 1
cat server.log

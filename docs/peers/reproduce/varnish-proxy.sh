#!/bin/sh
# PROXY headers in front of a request for Varnish: with padding, with what follows UNKNOWN, and wrong ones.
#
# Expected: the first four are served, and no other is.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
PROXY_IN=1
ends server server 203.0.113.20 8080 http >/dev/null 2>&1 &
until_listening server 8080
start varnish
in_ client /usr/bin/python3 - <<'EOF'
import socket, struct
def v2(command=0x21, family=0x11, more=b""):
    body = socket.inet_aton("198.51.100.77") + socket.inet_aton("192.0.2.80") + struct.pack("!HH", 1234, 80) + more
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(body)) + body
cases = {
    "version 2": v2(),
    "version 2, with 200 bytes of padding": v2(more=struct.pack("!BH", 4, 197) + bytes(197)),
    "version 2, with 2000 bytes of padding": v2(more=struct.pack("!BH", 4, 1997) + bytes(1997)),
    "version 1, UNKNOWN and addresses": b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
    "version 2, family 4": v2(family=0x41),
    "version 2, protocol 3": v2(family=0x13),
    "version 1, address 999.1.1.1": b"PROXY TCP4 999.1.1.1 192.0.2.80 1234 80\r\n",
    "version 1, address 198.51.100": b"PROXY TCP4 198.51.100 192.0.2.80 1234 80\r\n",
    "version 1, port 99999": b"PROXY TCP4 198.51.100.77 192.0.2.80 99999 80\r\n",
}
for name, header in cases.items():
    with socket.create_connection(("192.0.2.80", 80)) as made:
        made.settimeout(3)
        made.sendall(header + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            how = made.recv(100).split(b"\r\n")[0].decode() or "ended"
        except TimeoutError:
            how = "nothing within 3 s"
        except ConnectionResetError:
            how = "reset"
    print(f"{name}: {how}")
EOF

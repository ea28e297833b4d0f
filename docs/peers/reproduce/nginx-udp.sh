#!/bin/sh
# What does a client of nginx (stream, udp) get when no program listens at the server's port, and what when it asks again, from
# the same port, a second later, and the server is there? For comparison the client asks the server itself.
LEND=1
. "$(dirname "$0")/lab.sh"
cat >nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid /run/scratch/pid; error_log stderr error;
events {}
stream { server { listen 192.0.2.80:53 udp; proxy_pass 203.0.113.20:5353; proxy_bind \$remote_addr transparent; } }
EOF
in_ proxy sysctl -qw net.ipv4.ip_forward=1
# The walk-through diverts TCP alone.
for protocol in udp icmp; do
	in_ proxy iptables -t mangle -A PREROUTING -p $protocol -m socket --transparent -j DIVERT
done
in_ proxy nginx -c /run/scratch/nginx.conf -p /run/scratch 2>nginx.log &
listens_udp() { [ -n "$(in_ proxy ss -Hlun 'sport = :53')" ]; }
until_ listens_udp
cat >ask.py <<'EOF'
import socket, sys, time
asker = socket.socket(type=socket.SOCK_DGRAM)
asker.bind(("198.51.100.10", 0))
asker.connect((sys.argv[1], int(sys.argv[2])))
for question in sys.argv[3:]:
    asker.send(question.encode())
    print(f"client: asks {question}")
    end = time.monotonic() + 1
    while (left := end - time.monotonic()) > 0:
        asker.settimeout(left)
        try:
            print(f"client: gets {asker.recv(100)}")
        except TimeoutError:
            break
        except ConnectionRefusedError:
            print("client: is refused (ICMP), without a datagram")
EOF
try() { # WHAT ADDRESS PORT
	echo "== $1"
	in_ client /usr/bin/python3 ask.py "$2" "$3" first second &
	sleep 0.6
	in_ server timeout 2 /usr/bin/python3 -c '
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("203.0.113.20", 5353))
while True:
    data, peer = s.recvfrom(100)
    print(f"server: {data} from {peer}", flush=True)
    s.sendto(b"answer to " + data, peer)' || true
}
try 'the client asks the server itself' 203.0.113.20 5353
try 'the client asks nginx' 192.0.2.80 53
sed 's/^[^[]*/nginx: /' nginx.log

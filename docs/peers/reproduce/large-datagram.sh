#!/bin/sh
# A datagram of 51200 bytes, which is several packets on every link, through shadowsocks-libev (ss-tunnel and ss-server, with an
# MTU of 65535), and an answer of that size. For comparison the client asks the server itself, and then asks with 1000 bytes.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
protocol=udp
in_ proxy sysctl -qw net.ipv4.ip_forward=1
become shadowsocks-libev >peer.log 2>&1 &
until_ receives proxy 80
in_ server /usr/bin/python3 -c '
import socket
made = socket.socket(type=socket.SOCK_DGRAM)
made.bind(("203.0.113.20", 8080))
while True:
    data, peer = made.recvfrom(65536)
    print(f"server: {len(data)} bytes from {peer[0]}", flush=True)
    made.sendto(data, peer)' &
until_ receives server 8080
ask() { # WHAT ADDRESS PORT SIZE
	echo "== $1"
	in_ client /usr/bin/python3 -c '
import socket, sys
asker = socket.socket(type=socket.SOCK_DGRAM)
asker.settimeout(2)
asker.sendto(bytes(int(sys.argv[3])), (sys.argv[1], int(sys.argv[2])))
try:
    print(f"client: an answer of {len(asker.recv(65536))} bytes")
except TimeoutError:
    print("client: no answer within 2 s")' "$2" "$3" "$4"
}
ask 'the client asks the server itself, 51200 bytes' 203.0.113.20 8080 51200
ask 'the client asks the proxy, 1000 bytes' 192.0.2.80 80 1000
ask 'the client asks the proxy, 51200 bytes' 192.0.2.80 80 51200
grep -i error peer.log | cut -c1-190 || true

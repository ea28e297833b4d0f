#!/bin/sh
# usage: datagrams.sh PEER   nginx, go-mmproxy, socat, v2ray or shadowsocks-libev between clients and a server:
#                            1. datagrams of 100 and 51200 bytes of one client, and back
#                            2. an empty one, and one of 100 bytes behind it
#                            3. a client asks while the server's port is unreachable, and again when the server is there
#                            4. datagrams of three clients are there at once
#                            5. a second instance for the same address and port
#
# With SOURCE=none the proxy uses its own address, and chooses the ports.
#
# Expected: every datagram arrives as it was sent, those of one client from one port, and its answer reaches its client; the
# second instance ends.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
protocol=udp source=${SOURCE-client}
for each in udp icmp; do # the walk-through diverts TCP alone
	in_ proxy iptables -t mangle -A PREROUTING -p $each -m socket --transparent -j DIVERT
done
cat >server.py <<'EOF'
import socket
made = socket.socket(type=socket.SOCK_DGRAM)
made.bind(("203.0.113.20", 8080))
while True:
    data, peer = made.recvfrom(1 << 16)
    print(f"server: {len(data)} bytes {data[:12]} from {peer[0]}:{peer[1]}", flush=True)
    made.sendto(data, peer)
EOF
cat >clients.py <<'EOF'
import os, socket, struct, sys, time

def header(client):
    """Of version 2, for UDP; it names the client and the VIP."""
    if not os.environ.get("PROXY_HEADER"):
        return b""
    ends = socket.inet_aton(client[0]) + socket.inet_aton("192.0.2.80") + struct.pack("!HH", client[1], 80)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x12, len(ends)) + ends

made = socket.socket(type=socket.SOCK_DGRAM)
made.bind(("198.51.100.10", 0))
made.connect(("192.0.2.80", 80))
name = f"client {made.getsockname()[0]}:{made.getsockname()[1]}"
for each in sys.argv[2:]:
    data = bytes(int(each)) if each.isdigit() else each.encode()
    print(f"{name}: sends {len(data)} bytes {data[:12]}", flush=True)
    made.send(header(made.getsockname()) + data)
    end = time.monotonic() + float(sys.argv[1])
    while (left := end - time.monotonic()) > 0:
        made.settimeout(left)
        try:
            data = made.recv(1 << 16)
            print(f"{name}: gets {len(data)} bytes {data[:12]}", flush=True)
        except TimeoutError:
            print(f"{name}: nothing more")
        except ConnectionRefusedError:
            print(f"{name}: an ICMP error")
EOF
client() { in_ client /usr/bin/python3 clients.py "$@"; } # SECONDS-TO-WAIT WHAT...
serve() {
	ip netns exec server /usr/bin/python3 server.py &
	served=$!
	until_ receives server 8080
}
end() {
	kill "$1"
	wait "$1" 2>/dev/null || true
}
peer=$1
begin() { # WHAT
	echo "== $1"
	start "$peer"
}
serve
begin '1. of 100 and 51200 bytes'
client 1 100 51200
stop
begin '2. an empty one, and one behind it'
for each in 0 100; do client 1 $each; done
stop
end $served
begin "3. the server's port is unreachable, and then it is not"
client 2 first second &
asks=$!
sleep 1
serve
wait $asks
kill -0 "$pid" 2>/dev/null || echo "$peer has ended"
stop
begin '4. three at once'
pause 1 & # so much later it reads them
sleep 0.3
clients=
for each in one two three; do client 3 $each & clients="$clients $!"; done
# shellcheck disable=SC2086
wait $clients
stop
begin '5. a second instance'
become "$peer" >second.log 2>&1 &
second=$!
if until_ ended $second; then wait $second && echo 'it has ended with status 0' || echo "it has ended with status $?"; else in_ proxy ss -Hlnup 'sport = :80'; fi

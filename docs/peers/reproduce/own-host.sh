#!/bin/sh
# usage: own-host.sh PEER    haproxy, v2ray or shadowsocks-libev (tproxyd for comparison) where every connection of the
#                            clients is handed to it, and it connects to their destination from its own address:
#                            1. what it sends to the server is handed to it again
#                            2. a client connects to a program on the proxy's host
#                            3. a PROXY header names 127.0.0.1 (haproxy and tproxyd only)
#
# Expected: each client is ended, and the program gets no connection.
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
vip=0.0.0.0:3129 servers='' source=none under='prlimit --nofile=1024:1024'
in_ proxy iptables -t mangle -A PREROUTING -i client0 -p tcp -j TPROXY --on-port 3129 --tproxy-mark 1
in_ proxy iptables -t mangle -A OUTPUT -p tcp -d 203.0.113.20 --dport 8080 -j MARK --set-mark 1
in_ proxy iptables -t mangle -A PREROUTING -i lo -p tcp --dport 8080 -j TPROXY --on-port 3129 --tproxy-mark 1
ends proxy server 0.0.0.0 8022 mute >program.log &
until_listening proxy 8022
# shellcheck disable=SC2016 # awk's own
opened() { in_ proxy awk '/^Tcp: [0-9]/ {print $6}' /proc/net/snmp; }
try() { # SOURCE'S-HOST DESTINATION PORT
	timeout 3 ip netns exec client /usr/bin/python3 "$here/ends.py" client 198.51.100.10 "$1" "$2" await 2>&1 | tail -1 | grep . || echo 'no end within 3 s'
}
start "$1"
echo '== 1. what it sends is handed to it again'
before=$(opened)
try 203.0.113.20 8080
echo "connections that the proxy's host began: $(($(opened) - before))"
stop
start "$1"
echo "== 2. a client of a program on the proxy's host"
try 198.51.100.1 8022
stop
case $1 in haproxy | tproxyd) ;; *) exec cat program.log ;; esac
echo '== 3. a PROXY header that names 127.0.0.1'
sed -i 's/\(bind .*\)/\1 accept-proxy/' $run/"$1".cfg
case $1 in haproxy) set -- haproxy -db -f $run/haproxy.cfg ;; *) set -- "${TPROXYD:-tproxyd}" -f $run/tproxyd.cfg ;; esac
in_ proxy "$@" >$run/peer.log 2>&1 &
until_listening proxy 3129
in_ client /usr/bin/python3 - <<'EOF'
import socket
with socket.create_connection(("192.0.2.80", 80)) as made:
    made.settimeout(3)
    made.sendall(b"PROXY TCP4 198.51.100.10 127.0.0.1 4000 8022\r\nhello")
    try:
        print("ended" if made.recv(1) == b"" else "answered")
    except TimeoutError:
        print("no end within 3 s")
    except ConnectionResetError:
        print("reset")
EOF
cat program.log

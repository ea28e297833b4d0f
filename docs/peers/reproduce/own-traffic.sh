#!/bin/sh
# usage: own-traffic.sh PEER [udp]  PEER of peers.sh with a listener at the VIP alone, which connects from its own address:
#                            what it sends to its server is handed to that listener again. (own-host.sh: listeners for
#                            everything)
#
# Expected: the client is ended, and the proxy connected once; with udp, it sent the datagram once.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
source=none under='prlimit --nofile=1024:1024' protocol=${2:-tcp}
in_ proxy iptables -t mangle -A OUTPUT -p "$protocol" -d 203.0.113.20 --dport 8080 -j MARK --set-mark 1
in_ proxy iptables -t mangle -A PREROUTING -i lo -p "$protocol" -d 203.0.113.20 --dport 8080 -j TPROXY --on-ip 192.0.2.80 --on-port 80 --tproxy-mark 1
# shellcheck disable=SC2016 # awk's own
sent() { in_ proxy awk '/^Udp: [0-9]/ {print $5}' /proc/net/snmp; }
# shellcheck disable=SC2016 # awk's own
opened() { in_ proxy awk '/^Tcp: [0-9]/ {print $6}' /proc/net/snmp; }
start "$1"
if [ "$protocol" = udp ]; then
	in_ client /usr/bin/python3 -c '
import socket
socket.socket(type=socket.SOCK_DGRAM).sendto(b"round and round", ("192.0.2.80", 80))'
	sleep 2
	echo "datagrams that the proxy's host sent in 2 s: $(sent)"
	exit
fi
before=$(opened)
timeout 3 ip netns exec client /usr/bin/python3 "$here/ends.py" client 198.51.100.10 192.0.2.80 80 await 2>&1 | tail -1 | grep . || echo 'no end within 3 s'
echo "connections that the proxy's host began: $(($(opened) - before))"

#!/bin/sh
# usage: original.sh PEER    trafficserver (haproxy for comparison) where every connection of the clients is handed to it:
#                            it has to connect to their destination, from its own address, and again from the client's
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
vip=0.0.0.0:3129 servers='' source=none
in_ proxy iptables -t mangle -A PREROUTING -i client0 -p tcp -j TPROXY --on-port 3129 --tproxy-mark 1
ends server server 203.0.113.20 8080 http &
until_listening server 8080
try() {
	start "$1"
	ends client client 198.51.100.10 203.0.113.20 8080 get
	stop
}
echo '== from its own address'
try "$1"
echo "== from the client's address"
# shellcheck disable=SC2034
source=clientip
try "$1"
grep -ih 'loop' $log | tail -2 || true

#!/bin/sh
# usage: binding.sh PEER     what does a proxy do when it cannot bind: an address that the host does not have, one
#                            that another instance serves, a transparent listener without the capabilities for it?
#
# Expected: it ends with a status that is not 0, and its last message names 192.0.2.80. squid is also tried without a port
# that is an ordinary proxy's.
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 http &
until_listening server 8080
try() { # WHAT PEER
	echo "== $1"
	mkdir $run
	become "$2" >$run/log 2>&1 &
	tried=$!
	for _ in $(seq 40); do kill -0 $tried 2>/dev/null && sleep 0.05; done
	echo "listeners on the proxy's host: $(in_ proxy ss -Hltn | awk '{ print $4 }' | xargs)"
	ends client client 198.51.100.10 192.0.2.80 80 get 2>&1 || true
	if kill -0 $tried 2>/dev/null; then
		echo "$2 still runs"
	else
		status=0 && wait $tried || status=$?
		echo "$2 has ended with status $status"
	fi
	# what names the address last, so that it is seen where there is such a line
	{
		grep -iE 'bind|listen|fatal|emerg|alert|permitted|forward-proxy' $run/log | grep -v 192.0.2.80 | tail -2
		grep -iE 'bind|listen|fatal|emerg|alert|permitted' $run/log | grep 192.0.2.80 | tail -1
	} | cut -c1-250 | sed 's/^/  its log: /'
	kill $tried 2>/dev/null || true
	wait $tried 2>/dev/null || true
}
run=/run/scratch/foreign transparent=''
[ "$1" = squid ] || try "an address that the host does not have, and no wish to be transparent" "$1"
run=/run/scratch/alone transparent=1 under='setpriv --bounding-set=-net_raw,-net_admin --inh-caps=-net_raw,-net_admin'
case $1 in haproxy | tproxyd | socat | squid | trafficserver | v2ray) try 'a transparent listener without the capabilities' "$1" ;; esac
run=/run/scratch/private under=
# shellcheck disable=SC2034 # for peers.sh
FORWARD=0
[ "$1" != squid ] || try "without a port that is an ordinary proxy's" squid
# shellcheck disable=SC2034
FORWARD=1
lend
run=/run/scratch
start "$1"
run=/run/scratch/second
try 'a second instance' "$1"

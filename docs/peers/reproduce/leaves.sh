#!/bin/sh
# usage: leaves.sh PEER      a client resets while its server does not answer: does the proxy go on trying to connect?
#                            nginx, haproxy, go-mmproxy, stunnel4, sslh, socat, pen or tproxyd; with SOURCE=none hitch
#                            or shadowsocks-libev
#
# Expected: no attempt is left a moment later. What the client sent last is there together with its reset the second
# time. nginx, haproxy and tproxyd would give up after 2 s, the others later.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ip -n proxy neigh add 203.0.113.20 lladdr 02:00:00:00:00:99 dev server0 nud permanent
# shellcheck disable=SC2154 # $source is of peers.sh
attempts() { # ADDRESS   of the client, or of the proxy's host where that is the source
	if [ "$source" = none ]; then in_ proxy ss -Htn state syn-sent; else in_ proxy ss -Htn state syn-sent src "$1"; fi | wc -l
}
try() { # WHAT ADDRESS KIND SECONDS   the proxy stands still for those
	echo "== $1"
	ends client client "$2" 192.0.2.80 80 "$3" >/dev/null &
	sleep 0.2
	echo "attempts before: $(attempts "$2")"
	[ "$4" = 0 ] || { sleep 0.5 && pause "$4"; }
	wait $!
	sleep 0.4
	echo "attempts after its reset: $(attempts "$2")"
}
source=${SOURCE-clientip}
start "$1"
try 'a client that resets' 198.51.100.10 reset 0
try 'a client that sends and resets' 198.51.100.11 last-bytes 0.5

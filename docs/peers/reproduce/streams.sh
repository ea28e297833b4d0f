#!/bin/sh
# usage: streams.sh PEER     nginx, haproxy, tproxyd, go-mmproxy, sslh, sslh-select, socat, pen or stunnel4 between a
#                            client and a server; hitch, or with SOURCE=none shadowsocks-libev
#
# Half-close (one side ends its direction, the other sends after that), a reset from either side, also after the
# client's end, and a client that comes again from the same port right after a reset. Expected: what one side does is
# what the other sees, and every answer arrives. stunnel4 and hitch are asked for the resets alone. With SOURCE=none one socat
# stands where two are joined.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
source=${SOURCE-client}
start "$1"
how() { grep -c "client's side\|resets\|answer:" server.log; }
came() { [ "$(how)" -gt "$before" ]; }
try() { # WHAT, CLIENT'S KIND, CLIENT'S PORT
	echo "== $1"
	before=$(how) || true
	lines=$(wc -l <server.log)
	ends client client "198.51.100.10,${3-0}" 192.0.2.80 80 "$2" 2>&1 | tail -1
	until_ came || true
	tail -n +$((lines + 1)) server.log | grep . || echo "server: no client arrived"
}
half='late early' after=late-reset
case $1 in stunnel4 | hitch) half='' after='' ;; esac
# shellcheck disable=SC2086
ends server server 203.0.113.20 8080 $half mute reset $after mute >server.log 2>&1 &
until_listening server 8080
if [ -n "$half" ]; then
	try 'the client ends its direction; the server answers then' half-close
	try 'the server ends its direction; the client goes on' late-send
fi
try 'the client resets' reset
try 'the server resets' await-reset
if [ -n "$half" ]; then
	try 'the client ends its direction; the server sends half of an answer and resets' half-close
	try 'a client from port 40000 resets' reset 40000
	try 'and again, from the same port' reset 40000
fi
grep -h 'bind(\|bind_peer' peer.log || true

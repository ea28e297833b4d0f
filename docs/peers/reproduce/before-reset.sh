#!/bin/sh
# usage: before-reset.sh PEER   one side sends 32768 bytes, which the proxy's host acknowledges, and resets; the other reads
#                               slowly. haproxy, go-mmproxy, stunnel4, sslh, socat, pen or v2ray; nginx or tproxyd for comparison
#
# Expected: 32768 bytes come, whatever the end is. The reset comes alone, when the bytes are on their way; together with
# the bytes; together with something that the reader has sent, where the first to be seen may decide; or behind such an answer
# and the bytes.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
export SLOW=1
ip netns exec server /usr/bin/python3 "$here/ends.py" server 203.0.113.20 8080 abort count abort count \
	abort answer abort answer abort early-answer >>server.log 2>&1 &
until_listening server 8080
start "$1"
try() { # WHOSE-RESET KIND START SECONDS   the proxy stands still from START on
	echo "- $1"
	ends client client 198.51.100.10 192.0.2.80 80 "$2" &
	[ "$4" = 0 ] || { sleep "$3" && pause "$4"; }
	wait $!
	until_ test -s server.log
	cat server.log
	: >server.log
}
both() { # WHAT READER START SECONDS
	echo "== $1"
	try "the server resets" "$2" "$3" "$4"
	try "the client resets" abort "$3" "$4"
}
both 'the reset comes alone' count 0 0
both 'the reset comes with the bytes' count 0.3 1.8
both 'the reset comes with the bytes and an answer' answer 0.3 1.8
both 'the reset comes with an answer, the bytes being on their way' answer 1.2 0.8
both 'the answer, the bytes and the reset come in this order' early-answer 0.1 2

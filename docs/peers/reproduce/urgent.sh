#!/bin/sh
# usage: urgent.sh PEER      32768 bytes, an urgent byte (MSG_OOB; FTP and telnet send such) and 16384 bytes through nginx,
#                            haproxy, go-mmproxy or stunnel4; tproxyd, sslh, socat or pen for comparison
#
# Expected: 49152 bytes and an end (49153 where the urgent one is passed on as an ordinary one), whether they come one
# after the other or all at once; and next to no processor time while a session with urgent data waits. haproxy and
# tproxyd are asked with `option splice-request` and `option splice-response`, too. With TLS the server alone sends.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
kinds='urgent urgent urgent-open count count'
# shellcheck disable=SC2086 # one word a connection
ends server server 203.0.113.20 8080 $kinds $kinds >>server.log 2>&1 &
until_listening server 8080
try() { # WHAT CLIENT'S-KIND [SECONDS]   with SECONDS, the proxy stands still for those
	echo "== $1"
	ends client client 198.51.100.10 192.0.2.80 80 "$2" &
	sleep 0.3
	[ -z "${3-}" ] || pause "$3"
	wait $!
	[ "$2" != urgent ] || until_ test -s server.log
	cat server.log
	: >server.log
}
ticks() { # of processor time that the proxy has used
	for each in $(processes); do sed 's/.*) //' "/proc/$each/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'
}
all() { # PEER   as $options have it
	start "$1"
	[ -z "$options" ] || echo "== with splice"
	try 'from the server, one after the other' count
	try 'from the server, all at once' count 1
	echo '== from the server, and the session waits then'
	ends client client 198.51.100.10 192.0.2.80 80 count &
	client=$!
	sleep 1.3
	before=$(ticks)
	sleep 1
	echo "processor time in a second: $(($(ticks) - before)) of $(getconf CLK_TCK) ticks"
	wait $client
	if [ "$1" != stunnel4 ]; then
		try 'from the client, one after the other' urgent
		try 'from the client, all at once' urgent 1
	fi
	stop
}
all "$1"
case $1 in
haproxy | tproxyd)
	options='option splice-request
	  option splice-response'
	all "$1"
	;;
esac

#!/bin/sh
# usage: unread-log.sh PEER  the proxy's log is a full pipe that is never read: does it go on, and does SIGTERM end it?
#                            nginx, go-mmproxy, stunnel4, sslh, socat, pen, squid, sniproxy or trafficserver; haproxy or tproxyd
#                            for comparison
#
# Expected: 5 clients are ended while nothing listens at the server, then one is served, and then SIGTERM ends the proxy.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
mkfifo $run/peer.log
# shellcheck disable=SC2217 # it holds the pipe open, and does not read
sleep 1000 <$run/peer.log &
case $1 in sniproxy | squid | trafficserver) kind=http ;; *) kind='echo' ;; esac
serve() {
	ip netns exec server /usr/bin/python3 "$here/ends.py" server 203.0.113.20 8080 $kind >/dev/null 2>&1 &
	server=$!
	until_listening server 8080
}
client() { # what becomes of one
	if [ $kind = http ]; then
		ends client client 198.51.100.10 192.0.2.80 80 get 2>&1 | tail -1
	else
		ends client client 198.51.100.10 192.0.2.80 80 half-close 2>&1 | tail -1
	fi
}
serve
start "$1"
kill $server
/usr/bin/python3 "$here/ends.py" fill $run/peer.log
echo '== clients while the server refuses'
for number in $(seq 5); do
	how=$(client)
	case $how in *nothing* | *timed*) break ;; esac
done
echo "client $number: $how"
serve
echo '== a client that is to be served'
client
kill "$pid"
until_ ended "$pid" && echo 'SIGTERM ends the proxy' || echo 'SIGTERM does not end the proxy within 10 s'
kill -KILL "$pid" 2>/dev/null || true

#!/bin/sh
# usage: sigterm.sh PEER     sslh, sslh-select or socat is sent SIGTERM while a session goes on: what is left of it?
LEND=1
. "$(dirname "$0")/lab.sh"
case $1 in
sslh*) set -- "$1" -f -n --transparent -p 192.0.2.80:80 --anyprot 203.0.113.20:8080 -P /run/scratch/pid ;;
socat) set -- socat TCP4-LISTEN:80,bind=192.0.2.80,ip-transparent,fork,reuseaddr TCP4:203.0.113.20:8080 ;;
esac
ends server server 203.0.113.20 8080 mute &
until_listening server 8080
(exec ip netns exec proxy "$@") 2>peer.log &
pid=$!
until_listening proxy 80
ends client client 198.51.100.10 192.0.2.80 80 await &
sleep 1
kill $pid
sleep 1
kill -0 $pid 2>/dev/null && echo "the listener's process still runs" || echo "the listener's process has ended"
echo "sessions on the proxy's host:"
in_ proxy ss -Htn state established

#!/bin/sh
# usage: sigterm.sh PEER     SIGTERM while a session goes on: what is left of it? sslh, sslh-select or socat; haproxy,
#                            nginx or tproxyd for comparison
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 mute &
until_listening server 8080
start "$1"
ends client client 198.51.100.10 192.0.2.80 80 await &
sleep 1
kill $pid
sleep 1
kill -0 $pid 2>/dev/null && echo "the listener's process still runs" || echo "the listener's process has ended"
echo "sessions on the proxy's host:"
in_ proxy ss -Htn state established

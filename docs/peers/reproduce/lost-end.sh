#!/bin/sh
# usage: lost-end.sh PEER    200 clients of pen in turn end their direction at once; the server answers, and ends its own
#
# Expected: every client has the whole answer, and the server every client's bytes. TRACE=1 shows, where there is an
# strace, what the proxy does with the server's socket at its end.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
[ "${TRACE-}" != 1 ] || under='strace -f -o /run/scratch/trace'
start "$1"
ends server server 203.0.113.20 8080 late >server.log 2>&1 &
until_listening server 8080
ends client turns 198.51.100.10 192.0.2.80 80 200
sed -n "s/.*side: //p" server.log | sort | uniq -c
[ "${TRACE-}" != 1 ] || grep -A2 EPOLLHUP trace | head -3

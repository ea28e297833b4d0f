#!/bin/sh
# usage: transproxy.sh PEER  a client through a proxy that is to use the client's address: which address does the server see,
#                            and how many connections does the proxy's host begin? redir-transproxy; pen or tproxyd for comparison
#
# Expected: "came from 198.51.100.10". redir --transproxy ends the client and begins none: it binds the socket without
# IP_TRANSPARENT. With TRACE=1 and an strace the calls are shown.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
[ "${TRACE-}" != 1 ] || under="strace -f -e trace=bind,setsockopt -o $run/trace"
ends server server 203.0.113.20 8080 http &
until_listening server 8080
start "$1"
# shellcheck disable=SC2016 # awk's own
began() { in_ proxy awk '/^Tcp: [0-9]/ {print $6}' /proc/net/snmp; }
before=$(began)
ends client client 198.51.100.10 192.0.2.80 80 get 2>&1 | tail -1
echo "connections that the proxy's host began: $(($(began) - before))"
tail -n 2 "$log" | cut -c1-150 | sed 's/^/  its log: /'
[ ! -e $run/trace ] || grep -n 'bind(\|TRANSPARENT\|FREEBIND' $run/trace

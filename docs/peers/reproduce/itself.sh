#!/bin/sh
# usage: itself.sh PEER      v2ray (haproxy for comparison) where every connection of the clients is handed to it: a client
#                            connects to the proxy's own listener, so the proxy's destination is the proxy itself
#
# Expected: the client is ended, and the proxy has no connection to itself.
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
vip=0.0.0.0:3129 servers='' source=none under='prlimit --nofile=1024:1024'
in_ proxy iptables -t mangle -A PREROUTING -i client0 -p tcp -j TPROXY --on-port 3129 --tproxy-mark 1
start "$1"
ends client client 198.51.100.10 198.51.100.1 3129 await &
sleep 2
echo "connections of the proxy to itself after 2 s: $(in_ proxy ss -Htn state established 'dport = :3129' | grep -vc 198.51.100.10)"
wait $! || true

#!/bin/sh
# When does Squid connect to its parent from the proxy's own address? At its start, and when ten attempts have failed. Here the
# server's answers to the clients get lost, those to the proxy do not.
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 http &
until_listening server 8080
echo '== Squid starts'
start squid
sleep 1
echo '== 12 clients in turn, whose connections to the server cannot come about'
ip -n server route add blackhole 198.51.100.0/24
for _ in $(seq 12); do ends client client 198.51.100.10 192.0.2.80 80 get; done | sort | uniq -c
sleep 0.5
grep -i 'dead\|revived' cache.log

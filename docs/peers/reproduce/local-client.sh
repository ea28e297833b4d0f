#!/bin/sh
# usage: local-client.sh PEER  sslh or sniproxy (haproxy, nginx or tproxyd for comparison): a client on the proxy's own host connects
#                            from 198.51.100.1, an address of that host. Which address does the server see?
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 http &
until_listening server 8080
start "$1"
echo '== a client elsewhere'
ends client client 198.51.100.10 192.0.2.80 80 get
echo "== a client on the proxy's host, from 198.51.100.1"
ends proxy client 198.51.100.1 192.0.2.80 80 get

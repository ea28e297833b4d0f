#!/bin/sh
# usage: family.sh PEER      a client of one family and a server of the other: is there a connection from the proxy's
#                            own address instead? pen, squid and sniproxy; haproxy, nginx or tproxyd for comparison
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
servers='[2001:db8:5::20]:8080'
ends server server 2001:db8:5::20 8080 http &
until_listening server 8080
start "$1"
ends client client 198.51.100.10 192.0.2.80 80 get
sleep 1
stop
[ "$1" = sniproxy ] || exit 0
echo '== an IPv4 client of a listener at [::], and an IPv4 server'
ends server server 203.0.113.20 8080 http &
until_listening server 8080
vip='[::]:8000' servers=203.0.113.20:8080
start "$1"
ends client client 198.51.100.10 198.51.100.1 8000 get
sleep 1

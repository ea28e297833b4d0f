#!/bin/sh
# usage: ports.sh PEER       pen or squid (haproxy, nginx or tproxyd for comparison) on a host with ten ports for
#                            outgoing connections; all clients are at one address
#
# Expected: ten connections to each server, from the clients' address; clients too many are turned away; the clients
# that are served go on. A proxy's own connections (a health check) are there before the first client comes.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
peer=$1
try() { # FIRST-PORT KIND CLIENTS METHOD SERVER...
	range="$1 $(($1 + 9))" kind=$2 clients=$3 method=$4 && shift 4
	servers=$*
	echo "== $clients clients, servers $servers"
	in_ proxy sysctl -qw net.ipv4.ip_local_port_range="$range"
	for each in $servers; do
		ends server server "${each%:*}" "${each#*:}" "$kind" >"server-${each#*:}.log" &
		until_listening server "${each#*:}"
	done
	start "$peer"
	sleep 0.5
	for each in server-*.log; do sed "s/^server:/${each%.log}: before any client:/" "$each"; done
	# shellcheck disable=SC2086 # there may be none
	ends client gets 198.51.100.10 192.0.2.80 80 "$clients" $method
	for each in server-*.log; do
		echo "${each%.log}: $(grep -c ' /from.* 198.51.100.10 ' "$each") requests came from 198.51.100.10"
	done
	stop
	rm server-*.log
}
try 50000 hold 20 '' 203.0.113.20:8080 203.0.113.20:8081
try 50010 hold 12 '' 203.0.113.20:8082
try 50020 slow 10 GET 203.0.113.20:8083
try 50030 slow 10 POST 203.0.113.20:8084

#!/bin/sh
# usage: family.sh PEER      pen or squid, told to use the client's address, with a client of one family and a
#                            server of the other: is there a connection from the proxy's own address instead?
LEND=1
. "$(dirname "$0")/lab.sh"
case $1 in
pen) set -- pen -f -r -p /run/scratch/pid -O transparent 192.0.2.80:80 '[2001:db8:5::20]:8080' ;;
squid)
	chown proxy /run/scratch
	printf '%s\n' 'http_port 192.0.2.80:80 tproxy' 'http_port 127.0.0.1:3128' 'http_access allow all' \
		'cache_peer 2001:db8:5::20 parent 8080 0 no-query no-digest originserver' 'never_direct allow all' \
		'client_dst_passthru off' 'cache deny all' 'connect_retries 0' 'forward_timeout 2 seconds' 'dns_nameservers 127.0.0.1' \
		'pid_filename none' 'pinger_enable off' 'cache_log /run/scratch/cache.log' 'access_log none' >squid.conf
	set -- squid -N -f squid.conf
	;;
esac
ends server server 2001:db8:5::20 8080 mute &
until_listening server 8080
in_ proxy "$@" 2>peer.log &
until_listening proxy 80
ends client client 198.51.100.10 192.0.2.80 80 get 2>&1 | tail -1
sleep 1

#!/bin/bash
# usage: streams.sh PEER     nginx, go-mmproxy, sslh, sslh-select, socat or pen between a client and a server
#
# Half-close (the client ends its direction and waits for an answer), a reset from either side, and a client that
# comes again from the same port right after a reset.
LEND=1
. "$(dirname "$0")/lab.sh"
peer=$1
case $peer in
nginx)
	cat >nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid /run/scratch/pid; error_log stderr crit;
events {}
stream { server { listen 192.0.2.80:80; proxy_pass 203.0.113.20:8080; proxy_half_close on;
  proxy_bind \$remote_addr:\$remote_port transparent; } }
EOF
	set -- nginx -c /run/scratch/nginx.conf -p /run/scratch
	;;
go-mmproxy) set -- go-mmproxy -l 192.0.2.80:80 -4 203.0.113.20:8080 ;;
sslh | sslh-select) set -- "$peer" -f -n --transparent -p 192.0.2.80:80 --anyprot 203.0.113.20:8080 -P /run/scratch/pid ;;
socat)
	# shellcheck disable=SC2016 # for the shell that socat starts
	inner='exec socat -t 2 STDIO TCP4\:203.0.113.20\:8080\,bind=$SOCAT_PEERADDR\:$SOCAT_PEERPORT\,reuseaddr\,ip-transparent,pipes'
	set -- socat -t 2 TCP4-LISTEN:80,bind=192.0.2.80,ip-transparent,fork,reuseaddr "SYSTEM:$inner"
	;;
pen) set -- pen -f -r -p /run/scratch/pid -O transparent 192.0.2.80:80 203.0.113.20:8080 ;;
esac
in_ proxy "$@" 2>peer.log &
until_listening proxy 80
[ "$peer" != go-mmproxy ] || export PROXY_HEADER=1
ends server server 203.0.113.20 8080 late mute reset mute &
until_listening server 8080
try() { # WHAT, CLIENT'S ADDRESS, CLIENT'S KIND
	echo "== $1"
	ends client client "$2" 192.0.2.80 80 "$3"
	sleep 0.5 # the other end's line
}
try 'the client ends its direction; the server answers then' 198.51.100.10 half-close
try 'the client resets' 198.51.100.10 reset
try 'the server resets' 198.51.100.10 await-reset
try 'a client from port 40000 resets' 198.51.100.10,40000 reset
try 'and again, from the same port' 198.51.100.10,40000 reset
grep -h 'bind' peer.log || true

#!/bin/sh
# usage: binding.sh PEER     go-mmproxy, sslh, trafficserver or squid on an address that the host does not have
#
# Whether it listens there, whether a client is served there, and with what status it ends. go-mmproxy and
# trafficserver are not asked to be transparent; sslh and squid are.
. "$(dirname "$0")/lab.sh"
peer=$1
case $peer in
go-mmproxy) set -- go-mmproxy -l 192.0.2.80:80 -4 203.0.113.20:8080 ;;
sslh) set -- sslh -f -n --transparent -p 192.0.2.80:80 --anyprot 203.0.113.20:8080 -P /run/scratch/pid ;;
trafficserver)
	for name in cache run logs etc; do install -d -o trafficserver $name; done
	for key in data cache; do echo "${key}dir: /run/scratch/cache"; done >root
	for name in storage.config plugin.config remap.config; do touch etc/$name; done
	printf '%s\n' 'prefix: /run/scratch' 'exec_prefix: /usr' 'bindir: /usr/bin' 'sbindir: /usr/bin' \
		'sysconfdir: /run/scratch/etc' 'includedir: /usr/include' 'libdir: /usr/lib/trafficserver' \
		'libexecdir: /usr/lib/trafficserver/modules' 'localstatedir: /run/scratch/run' \
		'runtimedir: /run/scratch/run' 'logdir: /run/scratch/logs' >>root
	printf 'CONFIG proxy.config.%s\n' 'http.server_ports STRING 80:ip-in=192.0.2.80' \
		'admin.user_id STRING trafficserver' 'diags.output.error STRING E' >etc/records.config
	set -- traffic_server --run-root=/run/scratch/root
	;;
squid)
	chown proxy /run/scratch
	printf '%s\n' "http_port 192.0.2.80:80 tproxy" ${FORWARD:+"http_port 127.0.0.1:3128"} "pid_filename none" \
		'pinger_enable off' "cache_log /run/scratch/cache.log" "access_log none" >squid.conf
	set -- squid -N -d 1 -f squid.conf
	;;
esac
ends server server 203.0.113.20 8080 late &
in_ proxy "$@" >peer.log 2>&1 &
pid=$!
sleep 3
in_ proxy ss -Hltn
ends client client 198.51.100.10 192.0.2.80 80 half-close 2>&1 | tail -1
if kill -0 $pid 2>/dev/null; then
	echo "$peer still runs; its last line about it:"
else
	status=0 && wait $pid || status=$?
	echo "$peer has ended with status $status; its last line about it:"
fi
grep -iE 'bind|listen|fatal' peer.log | tail -1

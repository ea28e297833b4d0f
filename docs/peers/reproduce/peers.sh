# shellcheck shell=sh
# How the scripts start a proxy: clients of $vip are taken to $server, from their own address. To be sourced
# behind lab.sh.
#
#   become PEER   be this proxy, in namespace proxy
#   start PEER    run it beside the script; what it logs is in peer.log
vip=192.0.2.80:80 server=203.0.113.20:8080

become() {
	case $1 in
	go-mmproxy) set -- go-mmproxy -v 2 -l $vip -4 $server ;;
	sslh | sslh-select) set -- "$1" -f -n -v --transparent -p $vip --anyprot $server -P /run/scratch/pid ;;
	pen) set -- pen -f -d -r -t 2 -p /run/scratch/pid -O transparent $vip $server ;;
	socat)
		set -- socat -d -d -t 2 "TCP4-LISTEN:${vip#*:},bind=${vip%:*},ip-transparent,fork,reuseaddr" \
			"SYSTEM:exec socat -t 2 STDIO TCP4\\:${server%:*}\\:${server#*:}\\,bind=\$SOCAT_PEERADDR\\:\$SOCAT_PEERPORT\\,reuseaddr\\,ip-transparent,pipes"
		;;
	nginx)
		cat >nginx.conf <<-END
			load_module /usr/lib/nginx/modules/ngx_stream_module.so;
			daemon off; user root; pid /run/scratch/pid; error_log stderr info;
			events {}
			stream { server { listen $vip; proxy_pass $server; proxy_half_close on;
			  proxy_bind \$remote_addr:\$remote_port transparent; } }
		END
		set -- nginx -c /run/scratch/nginx.conf -p /run/scratch
		;;
	haproxy)
		cat >haproxy.cfg <<-END
			defaults
			  timeout connect 2s
			  timeout client 5s
			  timeout server 5s
			listen l
			  bind $vip transparent
			  source 0.0.0.0 usesrc clientip
			  server s $server
		END
		set -- haproxy -db -f haproxy.cfg
		;;
	stunnel4)
		[ -e proxy.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=proxy.example -days 2 -keyout proxy.pem -out cert.pem 2>/dev/null
		[ ! -e cert.pem ] || { cat cert.pem >>proxy.pem && rm cert.pem; }
		printf '%s\n' 'foreground = yes' 'pid =' 'debug = info' 'syslog = no' '[service]' "accept = $vip" "connect = $server" \
			'cert = /run/scratch/proxy.pem' 'transparent = source' >stunnel.conf
		set -- stunnel4 stunnel.conf
		;;
	*)
		echo "no peer of this script: $1" >&2
		exit 2
		;;
	esac
	exec ip netns exec proxy "$@"
}

start() {
	become "$1" >peer.log 2>&1 &
	[ "$1" != go-mmproxy ] || export PROXY_HEADER=1
	[ "$1" != stunnel4 ] || export TLS=1
	until_listening proxy "${vip#*:}"
}

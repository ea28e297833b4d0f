# shellcheck shell=sh
# How the scripts start a proxy: clients of $vip are taken to the first of $servers (in turn to all of them, where it
# can), from their own address. To be sourced behind lab.sh. tproxyd is $TPROXYD, or the one on PATH.
#
#   become PEER   be this proxy, in namespace proxy
#   start PEER    run it beside the script, as $pid; what it logs is in $log
#   stop          end it
#
# hitch, redir, varnish and shadowsocks-libev connect from the proxy's own address.
#
# What a script may set after that: $servers, empty for the client's own destination (trafficserver, haproxy, v2ray and
# shadowsocks-libev); $under, a
# command that starts it (setpriv, prlimit); $run, the folder of its files; $transparent, empty for a listener that is
# not; $source, client for its port, too, none for the proxy's own address (where it can choose); $options, a line of
# haproxy's or tproxyd's defaults; $protocol, udp for datagrams (nginx, go-mmproxy, socat, v2ray, shadowsocks-libev).
vip=192.0.2.80:80 servers=203.0.113.20:8080 protocol=tcp
run=/run/scratch transparent=1 source=clientip under='' options=''

yes_() { test "$@" && echo 1 || echo 0; }

certificate() { # proxy.pem: a key, and a certificate that it signed
	[ ! -e proxy.pem ] || return 0
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=proxy.example -days 2 -keyout proxy.pem -out cert.pem 2>/dev/null
	cat cert.pem >>proxy.pem && rm cert.pem
}

become() {
	server=${servers%% *} peer=$1
	case $peer in
	go-mmproxy) set -- go-mmproxy -p $protocol -v 2 -l $vip -4 "$server" ;;
	sslh | sslh-select)
		# shellcheck disable=SC2046 # no word, or one
		set -- "$peer" -f -n -v $([ $source = none ] || echo --transparent) -p $vip --anyprot "$server" -P $run/pid
		;;
	pen)
		# shellcheck disable=SC2046,SC2086 # one word a server
		set -- pen -f -d -r -t 2 -p $run/pid $([ $source = none ] || echo '-O transparent') $vip $servers
		;;
	redir) set -- redir -n -l debug $vip "$server" ;;
	redir-transproxy) set -- redir -n -l debug --transproxy $vip "$server" ;;
	socat)
		front=TCP4-LISTEN back=TCP4 end='\,shut-down' joined=nofork
		[ $protocol = tcp ] || front=UDP4-RECVFROM back=UDP4 end='' joined=socktype=2
		set -- socat -d -d -t 2 -b 65536 "$front:${vip#*:},bind=${vip%:*}${transparent:+,ip-transparent},fork,reuseaddr" \
			"$([ $source = none ] && echo "$back:$server" || echo "SYSTEM:exec socat -t 2 -b 65536 STDIO$end $back\\:${server%:*}\\:${server#*:}\\,bind=\$SOCAT_PEERADDR\\:\$SOCAT_PEERPORT\\,reuseaddr\\,ip-transparent,$joined")"
		;;
	nginx)
		cat >$run/nginx.conf <<-END
			load_module /usr/lib/nginx/modules/ngx_stream_module.so;
			daemon off; user root; pid $run/pid; error_log stderr info;
			events {}
			stream {
			  log_format session '\$remote_addr:\$remote_port \$upstream_addr \$bytes_sent \$status';
			  access_log /dev/stderr session;
			  upstream servers { $(for each in $servers; do echo "server $each max_fails=0;"; done) }
			  proxy_buffer_size 65536;
			  server { listen $vip $([ $protocol = tcp ] || echo udp); proxy_pass servers; proxy_connect_timeout 2s;
			    $([ $protocol = udp ] || echo 'proxy_half_close on;')
			    $([ $source = none ] || echo "proxy_bind \$remote_addr$([ $source = clientip ] || echo :\$remote_port) transparent;") }
			}
		END
		set -- nginx -c $run/nginx.conf -p $run
		;;
	haproxy | tproxyd) # of one language
		cat >"$run/$peer.cfg" <<-END
			global
			  log stderr format raw local0 info
			defaults
			  log global
			  option tcplog
			  timeout connect 2s
			  timeout client 5s
			  timeout server 5s
			  $options
			listen l
			  bind $vip ${transparent:+transparent}
			$([ $source = none ] || echo "  source 0.0.0.0 usesrc $source")
			$(for each in ${servers:-0.0.0.0}; do echo "  server s${each##*:} $each"; done)
		END
		if [ "$peer" = haproxy ]; then
			set -- haproxy -db -f $run/haproxy.cfg
		else
			set -- "${TPROXYD:-tproxyd}" -f $run/tproxyd.cfg
		fi
		;;
	stunnel4)
		certificate
		printf '%s\n' 'foreground = yes' 'pid =' 'debug = info' 'syslog = no' '[service]' "accept = $vip" "connect = $server" \
			'cert = /run/scratch/proxy.pem' "$([ $source = none ] || echo 'transparent = source')" >$run/stunnel.conf
		set -- stunnel4 $run/stunnel.conf
		;;
	squid) # it does not start without a port that is an ordinary proxy's; FORWARD=0 leaves it out
		chown proxy $run
		{
			printf '%s\n' "http_port $vip ${transparent:+tproxy}" 'http_access allow all' 'never_direct allow all' \
				'client_dst_passthru off' 'cache deny all' 'connect_retries 0' 'forward_timeout 2 seconds' \
				'dns_nameservers 127.0.0.1' 'pid_filename none' 'pinger_enable off' 'shutdown_lifetime 0 seconds' \
				'visible_hostname proxy.example' "cache_log $run/cache.log" 'access_log none'
			[ "${FORWARD-1}" = 0 ] || echo 'http_port 127.0.0.1:3128'
			for each in $servers; do
				address=${each%:*} address=${address#[} address=${address%]}
				echo "cache_peer $address parent ${each##*:} 0 no-query no-digest no-netdb-exchange originserver round-robin name=s${each##*:} connect-timeout=1"
			done
		} >$run/squid.conf
		set -- squid -N -d 1 -f $run/squid.conf
		;;
	trafficserver) # in a tree of its own
		for each in cache run logs etc; do install -d -o trafficserver $run/$each; done
		case $source$transparent in
		none1) sides=:tr-in ;;
		none) sides= ;;
		*1) sides=:tr-full ;;
		*) sides=:tr-out ;;
		esac
		printf 'CONFIG proxy.config.%s\n' "http.server_ports STRING ${vip#*:}$sides:ip-in=${vip%:*}" \
			'admin.user_id STRING trafficserver' "url_remap.remap_required INT $(yes_ -n "$server")" \
			"http.use_client_target_addr INT $(yes_ -z "$server")" \
			"http.use_client_source_port INT $(yes_ $source = client)" 'http.cache.http INT 0' \
			'http.connect_attempts_max_retries INT 0' 'log.logging_enabled INT 0' >$run/etc/records.config
		for each in note warning error fatal alert; do echo "CONFIG proxy.config.diags.output.$each STRING E"; done >>$run/etc/records.config
		printf '%s\n' 'ip_allow:' ' - {apply: in, ip_addrs: 0/0, action: allow, methods: ALL}' >$run/etc/ip_allow.yaml
		echo "${server:+map / http://$server/}" >$run/etc/remap.config
		for each in storage plugin; do : >$run/etc/$each.config; done
		printf '%s\n' "prefix: $run" 'exec_prefix: /usr' 'bindir: /usr/bin' 'sbindir: /usr/bin' "sysconfdir: $run/etc" \
			"datadir: $run/cache" "cachedir: $run/cache" 'includedir: /usr/include' 'libdir: /usr/lib/trafficserver' \
			'libexecdir: /usr/lib/trafficserver/modules' "localstatedir: $run/run" "runtimedir: $run/run" \
			"logdir: $run/logs" >$run/root
		set -- traffic_server --run-root=$run/root
		;;
	sniproxy)
		printf '%s\n' 'user root' "pidfile $run/pid" 'error_log {' 'filename /dev/stderr' 'priority info' '}' "listener $vip {" \
			'protocol http' "$([ $source = none ] || echo source client)" 'access_log {' 'filename /dev/stderr' '}' '}' \
			'table {' ".* $server" '}' >$run/sniproxy.conf
		set -- sniproxy -f -c $run/sniproxy.conf
		;;
	v2ray) # from its own address
		to="\"address\": \"${server%:*}\", \"port\": ${server##*:}"
		[ -n "$server" ] || to='"followRedirect": true'
		cat >$run/v2ray.json <<-END
			{"log": {"loglevel": "info"},
			 "inbounds": [{"listen": "${vip%:*}", "port": ${vip#*:}, "protocol": "dokodemo-door",
			   "settings": {"network": "$protocol", $to},
			   "streamSettings": {"sockopt": {"tproxy": "$([ -z "$transparent" ] && echo off || echo tproxy)"}}}],
			 "outbounds": [{"protocol": "freedom"}]}
		END
		set -- v2ray -config $run/v2ray.json
		;;
	hitch)
		certificate
		printf '%s\n' "frontend = \"[${vip%:*}]:${vip#*:}\"" "backend = \"[${server%:*}]:${server#*:}\"" \
			'pem-file = "/run/scratch/proxy.pem"' 'ocsp-dir = ""' 'user = "nobody"' 'log-level = 2' >$run/hitch.conf
		set -- hitch --config=$run/hitch.conf
		;;
	varnish) # clients begin with a PROXY header where PROXY_IN=1; varnishncsa writes a line for each request
		printf '%s\n' 'vcl 4.1;' "backend s { .host = \"${server%:*}\"; .port = \"${server#*:}\"; }" \
			'sub vcl_recv { return (pass); }' >$run/varnish.vcl
		# shellcheck disable=SC2016
		set -- sh -c 'varnishncsa -n "$1" -t off & shift; exec "$@"' sh $run/varnish \
			varnishd -F -j none -n $run/varnish -s malloc,64m -t 0 -p backend_remote_error_holddown=0 \
			-p backend_local_error_holddown=0 -f $run/varnish.vcl -a "$vip,$([ "${PROXY_IN-}" = 1 ] && echo PROXY || echo HTTP)"
		;;
	shadowsocks-libev) # ss-server is no child of the others: they take SIGCHLD for the end of a plugin
		common='-s 127.0.0.1 -p 8388 -k secret -m aes-256-gcm -t 600 --mtu 65535 -v'
		listener="-b ${vip%:*} -l ${vip#*:} $([ $protocol = tcp ] || echo -U)"
		if [ -n "$server" ]; then listener="ss-tunnel $listener -L $server"; else listener="ss-redir $listener -T"; fi
		set -- sh -c "(ss-server $common -u &)
			until ss -Hltn 'sport = :8388' | grep -q .; do sleep 0.05; done
			exec $listener $common"
		;;
	*)
		echo "no peer of this script: $peer" >&2
		exit 2
		;;
	esac
	# shellcheck disable=SC2086 # a command and its options
	exec ip netns exec proxy $under "$@"
}

start() {
	log=$run/peer.log
	become "$1" >$log 2>&1 &
	pid=$!
	[ "$1" != go-mmproxy ] || export PROXY_HEADER=1
	case $1 in stunnel4 | hitch) export TLS=1 ;; esac
	if [ $protocol = udp ]; then until_ receives proxy "${vip##*:}"; else until_listening proxy "${vip##*:}"; fi
}

# Its processes: those that it is, or has started.
processes() { echo "$pid $(cat /proc/"$pid"/task/*/children)"; }

# Stand still for so many seconds: what comes meanwhile is there all at once.
pause() {
	# shellcheck disable=SC2046
	kill -STOP $(processes)
	sleep "$1"
	# shellcheck disable=SC2046
	kill -CONT $(processes)
}

stop() {
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

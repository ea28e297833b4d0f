#!/bin/sh
# Do two instances of nginx (stream, udp) start at the same address and port?
#
# Expected: the second instance ends, and says that the address is in use.
LEND=1
. "$(dirname "$0")/lab.sh"
for number in 1 2; do
	mkdir $number
	cat >$number/nginx.conf <<-END
		load_module /usr/lib/nginx/modules/ngx_stream_module.so;
		daemon off; user root; pid /run/scratch/$number/pid; error_log stderr error;
		events {}
		stream { server { listen 192.0.2.80:80 udp; proxy_pass 203.0.113.20:8080; } }
	END
done
in_ proxy nginx -c /run/scratch/1/nginx.conf -p /run/scratch/1 &
until_ sh -c 'ip netns exec proxy ss -Hlnu "sport = 80" | grep -q .'
in_ proxy nginx -c /run/scratch/2/nginx.conf -p /run/scratch/2 &
sleep 4 # nginx tries for 2.5 s to bind
echo "4 s later, sockets at 192.0.2.80:80:"
in_ proxy ss -Hlnup 'sport = 80'

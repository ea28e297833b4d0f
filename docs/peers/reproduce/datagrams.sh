#!/bin/sh
# usage: datagrams.sh v2ray  an empty datagram, and one of 51200 bytes, from a client to a server and back; nginx for comparison
#
# Expected: every datagram arrives as it was sent.
LEND=1
. "$(dirname "$0")/lab.sh"
case $1 in
v2ray)
	cat >v2ray.json <<-END
		{"log": {"loglevel": "warning"},
		 "inbounds": [{"listen": "192.0.2.80", "port": 80, "protocol": "dokodemo-door",
		   "settings": {"network": "udp", "address": "203.0.113.20", "port": 8080}}],
		 "outbounds": [{"protocol": "freedom"}]}
	END
	set -- v2ray -config v2ray.json
	;;
nginx)
	cat >nginx.conf <<-END
		load_module /usr/lib/nginx/modules/ngx_stream_module.so;
		daemon off; user root; pid $PWD/pid; error_log stderr alert;
		events {}
		stream { proxy_buffer_size 65536; server { listen 192.0.2.80:80 udp; proxy_pass 203.0.113.20:8080; } }
	END
	set -- nginx -p "$PWD" -c nginx.conf
	;;
esac
receives() { [ -n "$(in_ "$1" ss -Hlun "sport = :$2")" ]; } # NAMESPACE PORT
in_ proxy "$@" >/dev/null 2>&1 &
until_ receives proxy 80
in_ server /usr/bin/python3 -uc '
import socket
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind(("203.0.113.20", 8080))
while True:
    data, peer = made.recvfrom(1 << 16)
    print("server: a datagram of", len(data), "bytes")
    made.sendto(data, peer)' &
until_ receives server 8080
in_ client /usr/bin/python3 -uc '
import socket
for size in (100, 0, 51200):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    print("client: sends", size, "bytes")
    made.sendto(bytes(size), ("192.0.2.80", 80))
    try:
        while True:
            print("client: a datagram of", len(made.recv(1 << 16)), "bytes comes back")
    except TimeoutError:
        print("client: nothing more")'

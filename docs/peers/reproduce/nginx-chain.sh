#!/bin/sh
# Does nginx (stream) pass on both addresses of a PROXY header? A client's header of version 2 names 198.51.100.77 port 1234 as
# the client and 192.0.2.81 port 443 as its destination; the server prints the header of version 1 that nginx sends.
# usage: nginx-chain.sh [haproxy]     haproxy for comparison
#
# Expected: PROXY TCP4 198.51.100.77 192.0.2.81 1234 443
LEND=1
. "$(dirname "$0")/lab.sh"
cat >nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid /run/scratch/pid; error_log stderr error;
events {}
stream { server { listen 192.0.2.80:80 proxy_protocol; set_real_ip_from 0.0.0.0/0;
  proxy_protocol on; proxy_pass 203.0.113.20:8080; } }
EOF
cat >haproxy.cfg <<EOF
defaults
  timeout connect 3s
  timeout client 3s
  timeout server 3s
listen l
  bind 192.0.2.80:80 accept-proxy
  server s 203.0.113.20:8080 send-proxy
EOF
ends server server 203.0.113.20 8080 mute &
until_listening server 8080
case ${1-nginx} in
haproxy) in_ proxy haproxy -db -f haproxy.cfg & ;;
*) in_ proxy nginx -c /run/scratch/nginx.conf -p /run/scratch & ;;
esac
until_listening proxy 80
in_ client /usr/bin/python3 - <<'EOF'
import socket, struct
body = socket.inet_aton("198.51.100.77") + socket.inet_aton("192.0.2.81") + struct.pack("!HH", 1234, 443)
with socket.create_connection(("192.0.2.80", 80)) as made:
    made.sendall(b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(body)) + body)
    made.shutdown(socket.SHUT_WR)
    made.settimeout(3)
    made.recv(1)
EOF

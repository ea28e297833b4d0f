#!/bin/sh
# Does nginx (http, keepalive to the upstream) send a client's request on a connection that was made with
# another client's address? Two clients ask in turn; the server says where each request came from.
# KEEPALIVE=0: the same without keepalive.
LEND=1
. "$(dirname "$0")/lab.sh"
keep=$([ "${KEEPALIVE-1}" = 0 ] || echo 'keepalive 4;')
cat >nginx.conf <<EOF
daemon off; user root; pid /run/scratch/pid; error_log stderr;
events {}
http {
  access_log off;
  upstream servers { server 203.0.113.20:8080; $keep }
  server {
    listen 192.0.2.80:80;
    location / {
      proxy_pass http://servers;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_bind \$remote_addr transparent;
    }
  }
}
EOF
ends server server 203.0.113.20 8080 http &
until_listening server 8080
in_ proxy nginx -c /run/scratch/nginx.conf -p /run/scratch &
until_listening proxy 80
for client in 198.51.100.10 198.51.100.11 198.51.100.10; do
	ends client client $client 192.0.2.80 80 get
done

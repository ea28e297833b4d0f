#!/bin/sh
# What does HAProxy do when it may not bind transparently (no CAP_NET_ADMIN, no CAP_NET_RAW), and what when another
# instance serves the address already?
. "$(dirname "$0")/lab.sh"
cat >haproxy.cfg <<EOF
defaults
  timeout connect 2s
  timeout client 5s
  timeout server 5s
listen l
  bind 192.0.2.80:80 transparent
  server s 203.0.113.20:8080
EOF
ends server server 203.0.113.20 8080 late &
until_listening server 8080
look() {
	until_listening proxy 80
	sleep 1
	in_ proxy ss -Hltnp
	ends client client 198.51.100.10 192.0.2.80 80 half-close 2>&1 | tail -1
}
echo '== without the capabilities'
(exec ip netns exec proxy setpriv --bounding-set=-net_raw,-net_admin --inh-caps=-net_raw,-net_admin \
	haproxy -db -f haproxy.cfg) &
look
kill $!
wait $! || true
echo '== two instances'
(exec ip netns exec proxy haproxy -db -f haproxy.cfg) &
until_listening proxy 80
(exec ip netns exec proxy haproxy -db -f haproxy.cfg) &
look

#!/bin/sh
# What does HAProxy's `usesrc hdr_ip(x-forwarded-for)` do with an IPv6 address in the header? The server has an
# IPv4 and an IPv6 address; the header names an address of either family, or none.
. "$(dirname "$0")/lab.sh"
configuration() { # PORT SERVER
	cat <<EOF
listen l$1
  bind 192.0.2.80:$1 transparent
  bind [2001:db8:f::80]:$1 transparent
  source 0.0.0.0 usesrc hdr_ip(x-forwarded-for)
  server s1 $2
EOF
}
{
	printf 'defaults\n  mode http\n  retries 0\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n'
	configuration 80 203.0.113.20:8080
	configuration 81 '[2001:db8:5::20]:8080'
} >haproxy.cfg
for address in 203.0.113.20 2001:db8:5::20; do ends server server $address 8080 http & done
until_listening server 8080
in_ proxy haproxy -db -f haproxy.cfg &
until_listening proxy 81
for server in '80 IPv4' '81 IPv6'; do
	for header in 198.51.100.77 2001:db8:c::77 ''; do
		echo "== ${server#* } server, header: ${header:-none}"
		ends client client 198.51.100.10 192.0.2.80 "${server% *}" get ${header:+"X-Forwarded-For: $header"}
	done
done

#!/bin/sh
# Squid as a `tproxy` front of one server, ports 50000 to 50009 for outgoing connections: how many requests of one
# client can be under way to two servers?
. "$(dirname "$0")/lab.sh"
chown proxy /run/scratch
cat >squid.conf <<EOF
http_port 192.0.2.80:80 tproxy
http_port 127.0.0.1:3128
http_access allow all
cache_peer 203.0.113.20 parent 8080 0 no-query no-digest originserver round-robin name=s1
cache_peer 203.0.113.20 parent 8081 0 no-query no-digest originserver round-robin name=s2
never_direct allow all
client_dst_passthru off
cache deny all
connect_retries 0
dns_nameservers 127.0.0.1
pid_filename none
pinger_enable off
cache_log /run/scratch/cache.log
access_log none
EOF
in_ proxy sysctl -qw net.ipv4.ip_local_port_range='50000 50009'
for port in 8080 8081; do in_ server /usr/bin/python3 -c "
import socket
s = socket.create_server(('203.0.113.20', $port))
kept = []
while True: kept.append(s.accept()[0])" & done
until_listening server 8081
in_ proxy squid -N -f squid.conf &
until_listening proxy 80
in_ client /usr/bin/python3 - <<'EOF'
import socket
kept = []
for number in range(20):
    made = socket.create_connection(("192.0.2.80", 80))
    made.sendall(b"GET /%d HTTP/1.1\r\nHost: 192.0.2.80\r\n\r\n" % number)
    kept.append(made)
waiting = 0
for made in kept:
    made.settimeout(0.5)
    try:
        print("answered:", made.recv(60).split(b"\r\n")[0].decode())
    except TimeoutError:
        waiting += 1
print("under way:", waiting)
EOF

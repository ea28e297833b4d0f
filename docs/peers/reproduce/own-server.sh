#!/bin/sh
# usage: own-server.sh PEER  haproxy or nginx (or tproxyd) with two listeners and 20 places; the server of the second is that
#                            listener itself. One client of the second, and then clients of the first.
#
# Expected: the first goes on serving, or the proxy does not start and says why.
LEND=1
. "$(dirname "$0")/lab.sh"
cat >loop.cfg <<EOF
global
  maxconn 20
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen useful
  bind 192.0.2.80:80 transparent
  server s 203.0.113.20:8080
listen loop
  bind 198.51.100.1:8000
  server itself 198.51.100.1:8000
EOF
cat >nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid $PWD/pid; error_log stderr alert;
events { worker_connections 44; } # two for each place, and some of its own
stream {
  proxy_half_close on;
  server { listen 192.0.2.80:80; proxy_pass 203.0.113.20:8080; }
  server { listen 198.51.100.1:8000; proxy_pass 198.51.100.1:8000; }
}
EOF
case $1 in haproxy) set -- haproxy -db -f loop.cfg ;; nginx) set -- nginx -p "$PWD" -c nginx.conf ;; *) set -- "${TPROXYD:-tproxyd}" -f loop.cfg ;; esac
ends server server 203.0.113.20 8080 echo &
until_listening server 8080
in_ proxy "$@" &
until_listening proxy 8000
echo '== a client of the useful listener'
ends client client 198.51.100.10 192.0.2.80 80 half-close
echo '== a client of the loop, and another of the useful listener'
in_ client /usr/bin/python3 -c '
import socket, time
made = socket.create_connection(("198.51.100.1", 8000))
made.sendall(b"hello")
time.sleep(60)  # it stays, also when the proxy has ended its side' 2>/dev/null &
sleep 2
echo "connections at the loop's listener: $(in_ proxy ss -Htn state connected 'sport = :8000' | wc -l)"
ends client client 198.51.100.10 192.0.2.80 80 half-close

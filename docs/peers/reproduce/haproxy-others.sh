#!/bin/sh
# HAProxy: an IPv4 client of an IPv6 listener; impossible PROXY headers of version 1; a client that connects to the
# proxy's own listener where the server is the client's destination.
. "$(dirname "$0")/lab.sh"
cat >haproxy.cfg <<EOF
global
  maxconn 100
defaults
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  retries 0
  source 0.0.0.0 usesrc clientip
listen mapped
  bind :::8000 v4v6
  server s 203.0.113.20:8080
listen header
  bind 192.0.2.80:80 transparent accept-proxy
  server s 203.0.113.20:8080
listen original
  bind 0.0.0.0:3129 transparent
  server s 0.0.0.0
EOF
ends server server 203.0.113.20 8080 mute >server.log &
until_listening server 8080
in_ proxy haproxy -db -f haproxy.cfg &
until_listening proxy 3129
echo '== an IPv4 client of bind :::8000 v4v6'
ends client client 198.51.100.10 198.51.100.1 8000 await 2>&1 | tail -1
sleep 0.3
cat server.log
echo '== headers'
in_ client /usr/bin/python3 - <<'EOF'
import socket
for header in (
    "TCP4 198.51.100.77 192.0.2.80 1234 80", "TCP4 198.51.100 192.0.2.80 1234 80",
    "TCP4 999.1.1.1 192.0.2.80 1234 80", "TCP4 198.51.100.77 192.0.2.80 99999 80", "UNKNOWN and more",
):
    with socket.create_connection(("192.0.2.80", 80)) as made:
        made.settimeout(1)
        made.sendall(f"PROXY {header}\r\nhello".encode())
        try:
            how = "ended" if made.recv(1) == b"" else "answered"
        except TimeoutError:
            how = "taken"
        except ConnectionResetError:
            how = "reset"
    print(f"{header}: {how}")
EOF
sleep 0.3
tail -n +3 server.log | grep from || true
echo '== a client of the very listener whose server is 0.0.0.0'
ends client client 198.51.100.10 198.51.100.1 3129 await 2>&1 | tail -1 &
sleep 1
echo "established connections of that listener: $(in_ proxy ss -Htn state established 'sport = :3129' | wc -l); the client waits for the connect timeout"

#!/bin/sh
# usage: headers.sh PEER     v2ray or go-mmproxy (haproxy or tproxyd for comparison) expects a PROXY header. Clients send one that
#                            is malformed, none, or a part of one; each header of fixtures/proxy-protocol/bad has a client.
#                            The last two send UNKNOWN and LOCAL.
#
# Expected: the proxy ends the client's connection, and the server gets no connection; after all of them the proxy still runs.
# The last two are served, and a proxy that uses the client's address uses 198.51.100.10.
LEND=1
. "$(dirname "$0")/lab.sh"
case $1 in
v2ray)
	cat >v2ray.json <<-END
		{"log": {"loglevel": "warning"}, "policy": {"levels": {"0": {"connIdle": 3}}},
		 "inbounds": [{"listen": "192.0.2.80", "port": 80, "protocol": "dokodemo-door",
		   "settings": {"network": "tcp", "address": "203.0.113.20", "port": 8080},
		   "streamSettings": {"tcpSettings": {"acceptProxyProtocol": true}}}],
		 "outbounds": [{"protocol": "freedom"}]}
	END
	set -- v2ray -config v2ray.json
	;;
go-mmproxy) set -- go-mmproxy -l 192.0.2.80:80 -4 203.0.113.20:8080 ;;
*)
	cat >proxy.cfg <<-END
		defaults
		  timeout connect 3s
		  timeout client 3s
		  timeout server 3s
		listen l
		  source 0.0.0.0 usesrc clientip
		  bind 192.0.2.80:80 accept-proxy
		  server s 203.0.113.20:8080
	END
	case $1 in haproxy) set -- haproxy -db -f proxy.cfg ;; *) set -- "${TPROXYD:-tproxyd}" -f proxy.cfg ;; esac
	;;
esac
ends server server 203.0.113.20 8080 mute >server.log &
until_listening server 8080
begin() {
	in_ proxy "$@" >>proxy.log 2>&1 &
	pid=$!
	until_listening proxy 80
}
try() { # NAME, BYTES in hexadecimal
	before=$(wc -l <server.log)
	printf '%s: ' "$1"
	in_ client /usr/bin/python3 -c '
import socket, sys
made = socket.create_connection(("192.0.2.80", 80))
made.settimeout(8)
made.sendall(bytes.fromhex(sys.argv[1]))
try:
    print("ended" if made.recv(1) == b"" else "answered")
except TimeoutError:
    print("no end within 8 s")
except OSError as problem:
    print(problem.strerror)' "$2"
	sleep 0.5
	tail -n +$((before + 1)) server.log
}
begin "$@"
try 'nothing at all' ''
try '20 bytes of a header' 50524f58592054435034203139382e35312e3130
for file in "$here"/../../../fixtures/proxy-protocol/bad/*.hex; do
	try "$(basename "$file" .hex)" "$(sed 's/#.*//' "$file" | tr -d ' \n')7369787465656e206279746573206d6f7265"
	kill -0 $pid 2>/dev/null && continue
	echo "the proxy has ended: $(grep -m 1 '^panic' proxy.log)"
	begin "$@"
done
try 'version 1, UNKNOWN' 50524f585920554e4b4e4f574e0d0a68656c6c6f
try 'version 2, LOCAL' 0d0a0d0a000d0a515549540a2000000068656c6c6f

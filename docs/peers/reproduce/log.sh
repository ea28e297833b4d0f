#!/bin/sh
# usage: log.sh PEER         what does a proxy log of a session in which the client gets 4321 bytes, and of two clients
#                            that it cannot serve: because another socket has the client's address and port, and
#                            because the server refuses?
#
# Expected: one line of the log with the client's address and port and the bytes; for the two that are not served, lines
# that name the client and that differ. pen and stunnel4 do not keep the client's port and are asked for the first alone.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
source=client
start "$1"
new() { tail -n +$((lines + 1)) $log; }
try() { # WHAT PORT KIND
	echo "== $1"
	lines=$(wc -l <$log)
	ends client client "198.51.100.10,$2" 192.0.2.80 80 "$3" 2>&1 || true
	sleep 1
	for each in $2 ${4-}; do echo "lines that name $each: $(new | grep -cw "$each" || true)"; done
	[ -z "${4-}" ] || echo "lines that name both: $(new | grep -w "$2" | grep -cw "$4" || true)"
	new | grep -iwE "$2|4321|bind(_peer)?|refused|cannot" | cut -c1-190 | sed 's/^/  /' | uniq | tail -8 || true
}
ends server server 203.0.113.20 8080 4321 >/dev/null &
until_listening server 8080
[ "$1" = trafficserver ] || try 'a session: the client comes from port 40000 and gets 4321 bytes' 40000 await 4321
case $1 in pen | stunnel4) exit ;; esac
in_ proxy /usr/bin/python3 -c '
import socket, time
taken = socket.socket()
taken.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
taken.bind(("198.51.100.10", 40001))
time.sleep(60)' &
sleep 0.5
try "the client's port 40001 is taken on the proxy's host" 40001 get
in_ server iptables -A INPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset
try 'the server refuses the client from port 40002' 40002 get

#!/bin/sh
# usage: spins.sh PEER       300 clients of a proxy that may have 256 descriptors, and again 257, stay: how much processor time
#                            does it use while nothing happens? hitch, shadowsocks-libev or varnish; haproxy, nginx or
#                            tproxyd for comparison
#
# Expected: next to nothing. Clients that find no descriptor wait in the listener's queue, or are ended. A session
# has two descriptors, so one of the two limits leaves none to accept with.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 hold >/dev/null 2>&1 &
until_listening server 8080
cat >clients.py <<'END'
import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
made = []
for _ in range(300):
    try:
        made.append(socket.create_connection(("192.0.2.80", 80)))
        if len(sys.argv) > 1:
            made[-1] = context.wrap_socket(made[-1], do_handshake_on_connect=False)
            made[-1].setblocking(False)
            made[-1].do_handshake()
        else:
            made[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    except OSError:
        pass
time.sleep(60)
END
ticks() { # of processor time that the proxy's processes have used
	for each in $(ip netns pids proxy); do sed 's/.*) //' "/proc/$each/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'
}
for limit in 256 257; do
	# shellcheck disable=SC2034 # for peers.sh
	under="setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource prlimit --nofile=$limit:$limit"
	run=/run/scratch/$limit && mkdir "$run"
	start "$1"
	in_ client /usr/bin/python3 clients.py ${TLS:+tls} &
	clients=$!
	sleep 5
	before=$(ticks)
	sleep 2
	echo "$limit descriptors: processor time in 2 s: $(($(ticks) - before)) of $((2 * $(getconf CLK_TCK))) ticks"
	tail -n 1 "$log" | cut -c1-100
	kill $clients
	# shellcheck disable=SC2046
	kill -KILL $(ip netns pids proxy) 2>/dev/null || true
	wait $clients $pid 2>/dev/null || true
done

#!/bin/sh
# usage: comes-and-goes.sh PEER   sniproxy (haproxy, nginx or tproxyd for comparison): 3000 clients, one after the other,
#                                 each connects, sends a byte and resets at once; there is no route to the server
#
# Expected: the proxy still runs, and serves or refuses the next client.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
# shellcheck disable=SC2034 # for peers.sh
servers=192.0.2.250:8080 source=none
start "$1"
in_ client /usr/bin/python3 - <<'END'
import socket, struct
for number in range(3000):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        made.connect(("192.0.2.80", 80))
        made.send(b"?")
    except ConnectionRefusedError:
        print(f"client {number + 1} is refused")
        break
    except ConnectionResetError:
        pass
    made.close()
END
if kill -0 "$pid" 2>/dev/null; then
	echo "$1 still runs"
else
	status=0 && wait "$pid" || status=$?
	echo "$1 has ended with status $status"
fi
tail -n 2 "$log" | cut -c1-190

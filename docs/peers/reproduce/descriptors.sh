#!/bin/sh
# usage: descriptors.sh PEER are descriptors given back, and what becomes of clients when they run short? go-mmproxy,
#                            haproxy, sniproxy or trafficserver; nginx or tproxyd for comparison
#
# 500 clients one after the other: the proxy is to have as many descriptors as after the first. Then CLIENTS (128) at the
# same time, with a limit of 256 descriptors that is there at the start, or comes later: each is to be served in its turn.
LEND=1
. "$(dirname "$0")/lab.sh"
. "$here/peers.sh"
ends server server 203.0.113.20 8080 http >/dev/null 2>&1 &
until_listening server 8080
held() { echo "$(find /proc/$pid/fd -type l | wc -l) descriptors, $(find /proc/$pid/fd -lname 'pipe:*' | wc -l) of them ends of pipes"; }
crowd() {
	ends client gets 198.51.100.10 192.0.2.80 80 "${CLIENTS-128}"
	kill -0 $pid 2>/dev/null || echo "$1 has ended"
	grep -iE 'too many|descriptor|throttl' $log | cut -c1-190 | tail -2 || true
	stop
}
echo '== 500 clients in turn'
start "$1"
ends client client 198.51.100.10 192.0.2.80 80 get
sleep 1
echo "after the first: $(held)"
ends client turns 198.51.100.10 192.0.2.80 80 500 >/dev/null
for seconds in 1 9; do
	sleep $seconds
	echo "$seconds s later: $(held)"
done
stop
echo '== started with 256 descriptors'
# without the capability, or it raises the limit itself
under='setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource prlimit --nofile=256:256'
start "$1"
crowd "$1"
[ "$1" != trafficserver ] || exit 0 # who runs as another user may not be limited later
echo '== limited to 256 descriptors when it runs'
under=''
start "$1"
for each in $pid $(cat /proc/$pid/task/*/children); do prlimit --pid "$each" --nofile=256:256; done
crowd "$1"

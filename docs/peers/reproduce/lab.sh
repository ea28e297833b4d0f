# shellcheck shell=sh
# Three namespaces, client - proxy - server, and the walk-through's set-up on the proxy. To be sourced first
# by a script: the script then goes on inside namespaces of its own, and nothing outlives it.
#
#   client  198.51.100.10, .11   2001:db8:c::10, ::11
#   server  203.0.113.20         2001:db8:5::20
#   VIP     192.0.2.80           2001:db8:f::80     local on the proxy where LEND=1
set -eu
if [ "${INSIDE-}" != 1 ]; then
	user=$([ "$(id -u)" = 0 ] || echo --map-root-user)
	# shellcheck disable=SC2086
	exec env INSIDE=1 unshare $user -mnpf --kill-child --mount-proc sh "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/scratch
chmod 777 /run/scratch
cd /run/scratch
in_() (name=$1 && shift && exec ip netns exec "$name" "$@")
for name in client proxy server; do
	ip netns add $name
	ip -n $name link set lo up
	in_ $name sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.default.accept_dad=0
done
link() { # NAMESPACE PROXY'S-LINK NET4 NET6 HOST...
	name=$1 proxys=$2 net4=$3 net6=$4 && shift 4
	ip -n proxy link add "$proxys" type veth peer name eth0 netns "$name"
	ip -n proxy addr add "$net4.1/24" dev "$proxys"
	ip -n proxy addr add "$net6::1/64" dev "$proxys" nodad
	for host in "$@"; do
		ip -n "$name" addr add "$net4.$host/24" dev eth0
		ip -n "$name" addr add "$net6::$host/64" dev eth0 nodad
	done
	ip -n proxy link set "$proxys" up
	ip -n "$name" link set eth0 up
	ip -n "$name" route add default via "$net4.1"
	ip -n "$name" route add default via "$net6::1"
}
link client client0 198.51.100 2001:db8:c 10 11
link server server0 203.0.113 2001:db8:5 20
for command in iptables ip6tables; do
	in_ proxy $command -t mangle -N DIVERT
	in_ proxy $command -t mangle -A PREROUTING -p tcp -m socket -j DIVERT
	in_ proxy $command -t mangle -A DIVERT -j MARK --set-mark 1
	in_ proxy $command -t mangle -A DIVERT -j ACCEPT
done
for family in 4 6; do
	ip -n proxy -$family rule add fwmark 1 lookup 100
	ip -n proxy -$family route add local default dev lo table 100
done
lend() {
	ip -n proxy route add local 192.0.2.0/25 dev lo
	ip -n proxy route add local 2001:db8:f::/64 dev lo
	in_ proxy sysctl -qw net.ipv6.ip_nonlocal_bind=1
}
[ "${LEND-}" != 1 ] || lend
until_() { # COMMAND...   wait until it succeeds; 1 when it does not within 10 s
	for _ in $(seq 200); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}
listens() { [ -n "$(in_ "$1" ss -Hltn "sport = :$2")" ]; } # NAMESPACE PORT
receives() { [ -n "$(in_ "$1" ss -Hlun "sport = :$2")" ]; } # NAMESPACE PORT, datagrams
ended() { ! kill -0 "$1"; }                                # PID
until_listening() { # NAMESPACE PORT
	until_ listens "$1" "$2" && return 0
	echo "nothing listens at port $2 in $1" >&2
	exit 1
}
ends() (name=$1 && shift && exec ip netns exec "$name" /usr/bin/python3 "$here/ends.py" "$@")

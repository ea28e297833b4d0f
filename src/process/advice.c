/*
 * One table of errors and advice, so that the same error always has the same advice.
 */
#include "advice.h"

#include <errno.h>

const char *advice_on_errno(int error)
{
	switch (error) {
	case EMFILE:
		return "; raise the descriptor limit (ulimit -n, LimitNOFILE=), or lower maxconn or nbthread";
	case ENFILE:
		return "; raise the host's limit (sysctl fs.file-max), or lower maxconn";
	case ELOOP:
		return "; it is a symbolic link: write the path that it leads to";
	case ENXIO:
		return "; no process reads this FIFO: start its reader first";
	default:
		return "";
	}
}

const char *advice_on_bind(int error, bool reload)
{
	switch (error) {
	case EADDRNOTAVAIL:
		return "; this host does not have this address: add it to an interface, or write `transparent` on the bind line";
	case EADDRINUSE:
		return "; another process listens on it (`ss -ltnp` shows which): stop that one, or write another port";
	case EPERM:
		return "; `transparent` needs CAP_NET_RAW: start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit)";
	case EACCES:
		if (reload)
			return "; this port needs CAP_NET_BIND_SERVICE, which a reload cannot get back, since tproxyd dropped what it did not need: restart it, or write a higher port";
		return "; this port needs CAP_NET_BIND_SERVICE: start tproxyd as root, or write a higher port";
	case ENODEV:
		return "; write an interface that exists (`ip link` lists them)";
	default:
		return advice_on_errno(error);
	}
}

const char *advice_on_inherited(int error)
{
	switch (error) {
	case EPERM:
		return "; it is a socket of the service manager, and `transparent` needs CAP_NET_RAW: write Transparent=yes in the .socket unit";
	case EADDRINUSE:
	case EACCES:
		return "; it is a socket of the service manager, and threads of another user cannot share its address: write `nbthread 1`, or start tproxyd as root";
	default:
		return advice_on_errno(error);
	}
}

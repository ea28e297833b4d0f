/*
 * The host's TCP and UDP sockets, as sock_diag(7) reports them, and the processes that own them.
 *
 * The checklist reads a socket's options (INET_DIAG_SOCKOPT) and counters (INET_DIAG_INFO): a listener that is
 * not transparent, a connection request without a reply. /proc names a socket's process; for other users'
 * processes only to root.
 */
#ifndef TPROXY_SOCKETS_H
#define TPROXY_SOCKETS_H

#include "tproxy/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The states that the checklist needs. */
enum host_socket_state {
	SOCKET_STATE_LISTENING,  /* TCP in LISTEN; UDP that is not connected */
	SOCKET_STATE_CONNECTING, /* SYN-SENT */
	SOCKET_STATE_CONNECTED,  /* ESTABLISHED, and UDP that is connected */
	SOCKET_STATE_OTHER
};

struct host_socket {
	int protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	enum host_socket_state state;
	struct addr local, remote; /* never IPv4-mapped; a listener's remote is the wildcard */
	bool options_known;        /* the next three are reported: since Linux 5.10 */
	bool transparent;
	bool freebind;
	bool bind_no_port;    /* IP_BIND_ADDRESS_NO_PORT */
	bool v6only;          /* of a listener; every kernel reports it */
	unsigned retransmits; /* in a row without a reply: of SYNs, or of data */
	unsigned
		unacked; /* TCP: segments sent and not acknowledged, a SYN included; 0 for a listener */
	unsigned mss; /* TCP: of sent segments, in bytes; 0: not reported */
	uid_t uid;
	ino_t inode; /* 0 where it has none (TIME-WAIT) */
	unsigned long long cookie;
};

struct host_sockets {
	struct host_socket *list;
	size_t count;
	bool udp_known; /* false: the kernel lacks udp_diag, so the list has no UDP sockets */
};

/* A process that holds a socket. */
struct socket_owner {
	pid_t pid;
	char name[32];             /* of the process: /proc/PID/comm */
	uid_t uid;                 /* effective: sockets that it makes now belong to this user */
	uint64_t capabilities;     /* effective; bit numbers as in <linux/capability.h> */
	unsigned long descriptors; /* its limit of open files; ULONG_MAX: none */
	char command[512]; /* its command line, quoted for sh(1); "": too long, or unknown */
};

/*
 * Fills in *SOCKETS with all sockets of IPv4 and IPv6 but closed ones, to be freed by sockets_free(). False with
 * *PROBLEM (to be freed) where the kernel cannot list those of TCP, or fails; *SOCKETS is empty then. Owners are
 * read anew at the next socket_owners().
 */
bool sockets_read(struct host_sockets *sockets, char **problem);
void sockets_free(struct host_sockets *sockets);

/*
 * The pure part: adds the sockets of one datagram of the kernel's answer, LENGTH bytes of netlink messages at
 * ANSWER about sockets of PROTOCOL, for netlink port PORT (0: any). Returns as netlink_parse() does; at -1
 * nothing of the whole list counts.
 */
int sockets_parse(struct host_sockets *sockets, int protocol, unsigned port, const void *answer,
	size_t length);

/*
 * The processes that hold a descriptor of SOCKET, by ascending pid: the first ROOM of them in OWNERS. Returns how
 * many there are; 0 where /proc shows none.
 */
size_t socket_owners(const struct host_socket *socket, struct socket_owner *owners, size_t room);

/* All owners are read once, at the first socket_owners(). The next call after this one reads them again. */
void socket_owners_forget(void);

#endif

/*
 * The host's TCP and UDP sockets, as the kernel tells them by sock_diag(7), and who owns them.
 *
 * The kernel's words for a socket's options (INET_DIAG_SOCKOPT) and counters (INET_DIAG_INFO) are what
 * the checklist goes by: a listener that is not transparent, a connection request that nobody answers.
 * Whose a socket is, /proc tells, and of other users' processes to root alone.
 */
#ifndef TPROXY_SOCKETS_H
#define TPROXY_SOCKETS_H

#include "tproxy/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the checklist tells apart. */
enum host_socket_state {
	SOCKET_STATE_LISTENING,  /* TCP in LISTEN; UDP that is not connected */
	SOCKET_STATE_CONNECTING, /* SYN-SENT */
	SOCKET_STATE_CONNECTED,  /* ESTABLISHED, and UDP that is connected */
	SOCKET_STATE_OTHER
};

struct host_socket {
	int protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	enum host_socket_state state;
	struct addr local,
		remote;     /* IPv4-mapped ones are unmapped; a listener's remote is the wildcard */
	bool options_known; /* the kernel told the next three: from Linux 5.10 on */
	bool transparent;
	bool freebind;
	bool bind_no_port;    /* IP_BIND_ADDRESS_NO_PORT */
	bool v6only;          /* told of what listens, and by every kernel */
	unsigned retransmits; /* in a row that nothing answered: of SYNs, or of data */
	unsigned unacked;     /* TCP: segments on their way, a SYN included; of a listener 0 */
	unsigned mss;         /* TCP: of what is sent, in bytes; 0 where it is not told */
	uid_t uid;
	ino_t inode; /* 0 where it has none (TIME-WAIT) */
	unsigned long long cookie;
};

struct host_sockets {
	struct host_socket *list;
	size_t count;
	bool udp_known; /* false: the kernel lacks udp_diag, so that UDP's are not in the list */
};

/* A process that holds a socket. */
struct socket_owner {
	pid_t pid;
	char name[32];             /* of the process: /proc/PID/comm */
	uint64_t capabilities;     /* effective, a bit a capability as in <linux/capability.h> */
	unsigned long descriptors; /* its limit; ULONG_MAX: none */
	char command[512]; /* its command line, as a shell takes it; "": too long, or not told */
};

/*
 * Reads all of them, IPv4 and IPv6, but closed ones. False with *PROBLEM (to be freed) where the kernel
 * does not tell those of TCP, or fails; *SOCKETS is empty then. A kernel without IPv6 has none of it.
 */
bool sockets_read(struct host_sockets *sockets, char **problem);
void sockets_free(struct host_sockets *sockets);

/*
 * The pure part: takes one answer of the kernel, LENGTH bytes of netlink messages about sockets of PROTOCOL,
 * aligned as struct nlmsghdr is, for netlink port PORT (0: any). 1: more has to come, 0: that was the end; -1 with errno: an error that the
 * kernel reports, or (EPROTO) what it never writes. Then nothing of the whole list counts.
 */
int sockets_parse(struct host_sockets *sockets, int protocol, unsigned port, const void *answer,
	size_t length);

/*
 * The owners of a socket, at most ROOM of them in the order of their numbers; how many there are. 0 where
 * /proc does not tell.
 */
size_t socket_owners(const struct host_socket *socket, struct socket_owner *owners, size_t room);

/* Owners are read once, when the first is asked for. This has them read again; sockets_read() does it, too. */
void socket_owners_forget(void);

#endif

/*
 * The resolver: a process that looks names up for a daemon that has no right to open files any more.
 */
#ifndef TPROXY_OPS_RESOLVER_H
#define TPROXY_OPS_RESOLVER_H

struct identity;

struct resolver {
	int socket;      /* to the process; -1: there is none */
	unsigned number; /* of the last question */
	void (*meanwhile)(
		void *arg); /* called every INTERVAL ms while it is waited for, or oftener */
	void *arg;
	int interval;
};

/*
 * Starts it, as IDENTITY and without capabilities, and lets lookup_name() ask it from now on. Call it before the first thread starts and
 * before the root changes. Returns 0, or -1 with errno.
 */
int resolver_start(struct resolver *resolver, const struct identity *identity);

/* From now on no name is found, for the reason that none was in the configuration of the start. */
void resolver_do_without(struct resolver *resolver);

/* Ends it; also where it was never started. */
void resolver_stop(struct resolver *resolver);

#endif

/*
 * The kernel's own counters of packets that it dropped (nstat(8)): which of them moved while packets were captured.
 */
#ifndef TPROXY_COUNTERS_H
#define TPROXY_COUNTERS_H

enum {
	COUNTERS = 12
};

struct counters {
	unsigned long long values[COUNTERS]; /* 0 where the kernel has no such counter */
};

void counters_read(struct counters *counters);

/* The counters that are larger in AFTER, each with its meaning, as one text to be freed; NULL: none is. */
char *counters_moved(const struct counters *before, const struct counters *after);

/*
 * The pure part: the counter NAME of the group GROUP ("TcpExt") in TEXT, which has two lines for each group: names,
 * then values, as /proc/net/netstat. 0: it is not there.
 */
unsigned long long counters_find(const char *text, const char *group, const char *name);

#endif

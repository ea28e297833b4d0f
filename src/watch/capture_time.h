/*
 * When a capture ends: as soon as nothing more can be learned from it, and not before this host had time to answer what it
 * was asked last.
 */
#ifndef TPROXY_CAPTURE_TIME_H
#define TPROXY_CAPTURE_TIME_H

#include "capture.h"

/* Times are those of clock_ms(). Set `end`, and leave the rest zero. */
struct capture_time {
	long long end;
	int grace; /* how long to go on now that enough was seen; 0: not enough was */
	long long grace_began;
	size_t open;          /* how many addresses wait for this host's answer */
	long long open_began; /* when the last of them began to wait */
};

/*
 * How many milliseconds are left at the time NOW; 0: the capture ends. It ends
 * - before `end`, when each of the COUNT addresses of LIST has had a packet and time to answer it, or when one of them got three
 *   questions for its owner (Linux asks once a second) and for another second neither a reply nor a packet;
 * - behind it, when a question or a packet came just before: what had no time to be answered is not unanswered.
 */
int capture_left(
	struct capture_time *time, const struct captured *list, size_t count, long long now);

#endif

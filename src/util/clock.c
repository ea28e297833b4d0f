/*
 * Time for deadlines: CLOCK_MONOTONIC, which is never set back.
 */
#include "tproxy/clock.h"

#include <time.h>

long long clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

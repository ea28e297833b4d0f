/*
 * Exit statuses of tproxyctl, also the return values of its functions that may end it.
 */
#ifndef TPROXY_EXIT_STATUS_H
#define TPROXY_EXIT_STATUS_H

enum {
	STATUS_OK = 0,      /* nothing is wrong */
	STATUS_PROBLEM = 1, /* something is missing, harmful or failed */
	STATUS_USAGE = 2,   /* wrong arguments or input */
	STATUS_UNKNOWN = 3 /* check: nothing is missing or harmful, but not everything was judged */
};

#endif

/*
 * Exit statuses of tproxyctl, and what its functions return that may end it.
 */
#ifndef TPROXY_EXIT_STATUS_H
#define TPROXY_EXIT_STATUS_H

enum {
	STATUS_OK = 0,      /* all is well */
	STATUS_PROBLEM = 1, /* something is missing, harmful or failed */
	STATUS_USAGE = 2,   /* wrong arguments or input */
	STATUS_UNKNOWN = 3 /* nothing is missing or harmful, but not all of it was judged (check) */
};

#endif

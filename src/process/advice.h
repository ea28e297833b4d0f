/*
 * Advice: what a person can do about an error, as the end of a message.
 */
#ifndef TPROXY_PROCESS_ADVICE_H
#define TPROXY_PROCESS_ADVICE_H

#include <stdbool.h>

/*
 * What to do about ERROR, an errno of opening something: "; " and a sentence, or "" where the errno
 * says enough. Static.
 */
const char *advice_on_errno(int error);

/* The same for a socket of the service manager that cannot be listened on. */
const char *advice_on_inherited(int error);

/* The same for an address that cannot be listened on. RELOAD: the process has dropped privileges. */
const char *advice_on_bind(int error, bool reload);

#endif

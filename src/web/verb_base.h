/*
 * What verbs of the helper share.
 */
#ifndef TPROXY_WEB_VERB_BASE_H
#define TPROXY_WEB_VERB_BASE_H

#include <jansson.h>

/* An answer that is a refusal: {"status", "message"}; bytes of the message that are no text become "?". */
json_t *helper_refusal(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For verbs that change something: waits until others have ended. The turn ends with this process. LOCK is a descriptor. */
void helper_take_turn(int lock);

#endif

/* From servers to clients. For src/udp/ alone. */
#ifndef UDP_REPLIES_H
#define UDP_REPLIES_H

#include "flow.h"

/* Receives what waits at the socket of FLOW, or some of it, which leaves with replies_send(). False: there was nothing. */
bool replies_take(struct flow *flow);

/* Sends the replies that LOOP has taken. A flow of theirs must not be freed before. */
void replies_send(struct flow_loop *loop);

#endif

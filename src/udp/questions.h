/* From clients to servers. For src/udp/ alone. */
#ifndef UDP_QUESTIONS_H
#define UDP_QUESTIONS_H

#include "flow.h"

/* Sends the arrivals from FIRST to before END to the server of FLOW, or lets them wait for questions_send_waiting(). */
void questions_send(struct flow *flow, unsigned first, unsigned end);

/* Sends those that wait. A flow of theirs must not be freed before, nor its socket closed. */
void questions_send_waiting(struct flow_loop *loop);

#endif

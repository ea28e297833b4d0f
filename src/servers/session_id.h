/*
 * The ids of sessions and flows: unlike each other for the life of the process, and each says which worker has it.
 */
#ifndef TPROXY_SERVERS_SESSION_ID_H
#define TPROXY_SERVERS_SESSION_ID_H

#include <stdbool.h>
#include <stdint.h>

/* NUMBER counts what WORKER, below 64, has begun of this kind. A later one has a larger id. */
static inline uint64_t session_id(unsigned worker, bool is_flow, uint64_t number)
{
	return number << 7 | worker << 1 | is_flow;
}

static inline unsigned session_id_worker(uint64_t id)
{
	return id >> 1 & 63;
}

static inline bool session_id_is_flow(uint64_t id)
{
	return id & 1;
}

#endif

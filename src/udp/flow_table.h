/* The table of flows: which flow a client's datagram belongs to. For src/udp/ alone. */
#ifndef UDP_FLOW_TABLE_H
#define UDP_FLOW_TABLE_H

#include "flow.h"

/* Prepares an empty table. Returns 0, or -1 without memory. */
int flow_table_init(struct flow_table *table);

/* Frees the table, which must be empty. A zeroed one is allowed. */
void flow_table_free(struct flow_table *table);

/* The flow of KEY, or NULL. */
struct flow *flow_table_find(const struct flow_table *table, const struct flow_key *key);

/* Adds a flow whose key is not there, and takes one out. */
void flow_table_add(struct flow_table *table, struct flow *flow);
void flow_table_remove(struct flow_table *table, struct flow *flow);

#endif

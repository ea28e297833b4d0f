/*
 * The daemon's model of a text as JSON, to compare what a change did with what was meant.
 *
 * {"global": {…}, "sections": [SECTION…], "resolvers": […]}. All that a text can set is there, and nothing that
 * follows from it (turns, loops, indexes). A SECTION has "line", each of its "binds" (one for each `bind` line), "rules"
 * and "servers" has it, too, so that a line of the text finds them. Plain values have the name and the value of
 * their row in the table of keywords.
 */
#ifndef TPROXY_EDIT_MODEL_H
#define TPROXY_EDIT_MODEL_H

#include "tproxy/config.h"

#include <jansson.h>
#include <stdbool.h>

json_t *model_json(const struct config *config);

/* The addresses of a `bind` line: a list of "ADDRESS PORT-PORT", the ports of one address that follow each other together. */
void model_add_address(json_t *addresses, const struct addr *address, unsigned last_port);

/* A `bind` line that has no parameters and no addresses yet; a server's and a section's source. */
json_t *model_plain_bind(void);
json_t *model_source(const struct source *source);

/* The text of an address for the model. */
json_t *model_address(const struct addr *address);

/* The name of the way to balance, as `balance` has it: "random" is "random(2)". */
json_t *model_balance(enum balance balance, bool static_weights, unsigned draws);

/*
 * Whether ACTUAL is EXPECTED. An object of EXPECTED that has the member "*" may have further members in ACTUAL;
 * members "line" are not compared. If not, *WHERE (to be freed) is the path of the first difference.
 */
bool model_equal(const json_t *expected, const json_t *actual, char **where);

#endif

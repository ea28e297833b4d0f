/*
 * Our rules on the host: listing, loading and removing them, with iptables, iptables-legacy or nft.
 *
 * A step here is one of kind STEP_FIREWALL. Our rules have the comment "tproxyctl". Their place does not
 * count, so rules that another program added to our chain or table stay.
 *
 * Where a function returns false or NULL for an error, *PROBLEM (NULL before, to be freed) says why.
 */
#ifndef TPROXY_OUR_RULES_H
#define TPROXY_OUR_RULES_H

#include "plan.h"

#include <jansson.h>
#include <stdbool.h>

/* The command line that loads a step's input from stdin, to be freed. */
char *our_rules_loader(const struct step *step);

/* Notes in the step what is there before, so that tables and chains that come with our rules can go again. */
bool our_rules_prepare(struct step *step, char **problem);

/* Loads the rules in one call, and notes in the step how the tool lists them. */
bool our_rules_load(struct step *step, char **problem);

/* Our rules as the tool lists them, "" for none, to be freed; NULL with *PROBLEM if they cannot be read. */
char *our_rules_list(const struct step *step, char **problem);

/*
 * Removes our rules; OURS is from our_rules_list(). *LEFT (to be freed): lines in our chain or table that
 * another program added, which stay; or NULL.
 */
bool our_rules_remove(const struct step *step, const char *ours, char **left, char **problem);

/*
 * Removes the tables and chains that came with our rules and are empty. *KEPT (to be freed): what stays
 * because the program nft is missing, and the command that removes it; or NULL.
 */
bool our_rules_clean(const struct step *step, char **kept, char **problem);

/* Whether the output of iptables-save, or of `nft list table`, has its end: a tool may be cut off and exit with 0. */
bool our_rules_save_is_whole(const char *save);
bool our_rules_table_is_whole(const char *text);

/* --- the parts that only work on text, for tests; what they return has to be freed --- */

/* Our lines of what iptables-save wrote. */
char *our_rules_of_save(const char *save);

/* The lines of the table mangle, or NULL where there is no such table. */
char *our_rules_mangle_of_save(const char *save);

/* The input of the tool that removes OURS; *LEFT as in our_rules_remove(). FAMILY: "ip" or "ip6", of nft. */
char *our_rules_removal(const char *ours, bool nft, const char *family, char **left);

/* The input of nft that removes what came with our rules: BEFORE as chains_before, LISTING by `nft -j`. */
char *our_rules_cleaning(const json_t *before, const char *listing, const char *family);

#endif

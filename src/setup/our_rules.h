/*
 * Our rules on the host: seeing, loading and taking them away, with iptables, iptables-legacy or nft.
 *
 * A step is one of the state file's, of kind "firewall". What is ours is recognised by the comment "tproxyctl",
 * never by its place, so rules that somebody else added to our chain or table stay.
 */
#ifndef TPROXY_OUR_RULES_H
#define TPROXY_OUR_RULES_H

#include <jansson.h>
#include <stdbool.h>

/* Notes what is there before, so that tables and chains that come by themselves can go again. */
bool our_rules_prepare(json_t *step, char **problem);

/* Loads the rules in one call and notes how their tool shows them. */
bool our_rules_load(json_t *step, char **problem);

/* What the tool shows of us, "" for nothing, to be freed; NULL with *PROBLEM where it cannot be asked. */
char *our_rules_list(const json_t *step, char **problem);

/* Takes our rules away, OURS being what our_rules_list() said. *LEFT: what is somebody else's, or NULL. */
bool our_rules_remove(const json_t *step, const char *ours, char **left, char **problem);

/*
 * Takes away what came by itself and is empty. *KEPT: what stays, and what takes it away, where that can
 * only be done by a program that is missing; or NULL.
 */
bool our_rules_clean(const json_t *step, char **kept, char **problem);

/* Whether what iptables-save wrote, or nft of one table, has its end: a tool may be cut off and end well. */
bool our_rules_save_is_whole(const char *save);
bool our_rules_table_is_whole(const char *text);

/* The pure parts, for tests: what is ours of a listing, and what takes that away. */
char *our_rules_of_save(const char *save);
char *our_rules_mangle_of_save(const char *save);
char *our_rules_removal(const char *ours, bool nft, const char *family, char **left);
char *our_rules_cleaning(const json_t *before, const char *listing, const char *family);

#endif

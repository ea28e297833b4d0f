/*
 * The configuration's text as listeners and farms, and changes of single words of it.
 *
 * A listener is what has `bind` lines: a `frontend` or `listen` section. A farm is what has servers: a `backend` or
 * `listen` section. A `listen` section is both, under one name. A text is TEXT with LENGTH bytes of any kind; it
 * is not kept. JSON objects that are returned belong to the caller, as do texts, which free() frees and
 * which have a NUL byte behind them. Nothing here reads or writes a file, also none that the text names (`acl … -f`),
 * and no name is looked up. Without memory the program ends.
 */
#ifndef TPROXY_EDIT_EDIT_H
#define TPROXY_EDIT_EDIT_H

#include <jansson.h>
#include <stddef.h>

/*
 * What the text says, also where it has errors:
 *
 * {"listeners": [LISTENER…], "farms": [FARM…], "errors": [MESSAGE…], "warnings": [MESSAGE…]}
 *
 * LISTENER {"name", "section": "frontend" or "listen", "line", "mode", "maxconn" (0: none of its own),
 *           "default_backend" ("" for none; the section's own name for a `listen` section that uses its servers),
 *           "timeouts": {"client", "client-fin"} (those that there are, as written), "binds": [BIND…], "inherited": [KEY…]}
 * BIND     {"index", "line", "address", "port_low", "port_high", "transparent", "shared", "written", "words"}:
 *          one for each address between commas. `index` counts them over the section, from 0. `shared` says how many
 *          addresses the line has: they share the words behind them, "transparent" among these. `written` is the
 *          address as the text has it, `words` are the words behind the addresses, parted by spaces.
 * FARM     {"name", "section": "backend" or "listen", "line", "mode", "balance", "source" (SOURCE), "original" (bool:
 *           `option transparent`, no server is used), "timeouts": {"connect", "queue", "server", "server-fin", "tunnel", "check"},
 *           "servers": [SERVER…], "used_by": [the names of listeners],
 *           "inherited": [KEY…]}
 * SERVER   {"name", "line", "address", "port" (0: the client's), "weight", "maxconn", "check", "backup",
 *           "disabled", "source" (SOURCE, its own or the farm's), "written", "words", "inherited": [KEY…]}, and for what the
 *          line or `default-server` says of them "inter", "fastinter", "downinter", "rise", "fall", "slowstart",
 *          "maxqueue", "check_port" (each a string as written). The servers of a `server-template` line are one
 *          entry with the name "PREFIX{FIRST-LAST}".
 * SOURCE   "none", "clientip", "client", or an address "ADDRESS" (of this host) or "usesrc ADDRESS" (of another)
 * MESSAGE  {"line" (0: the text as a whole), "column" (in bytes, from 1; 0: the line as a whole), "message"}
 *
 * `inherited` has the keys of this object that `defaults` or `default-server` gave ("timeout client" for a timeout), or for a
 * server's source its farm.
 * Bytes that are no UTF-8 are shown as "?".
 */
json_t *edit_describe(const char *text, size_t length);

/*
 * The text after CHANGE, and its length in *CHANGED_LENGTH; NULL where the change is refused, and *PROBLEM
 * then says why, to be freed. Only the words that the change means differ: all other bytes stay. The new text was read by
 * the daemon's parser, and its model is the one before with what was meant, and no other difference.
 *
 * CHANGE is {"op", …} with the members that its operation has; others are refused:
 *
 * add-listener        name, [section "frontend" or "listen"], [binds: [{address, port, transparent}…]],
 *                     [default_backend], [mode], [maxconn]
 * remove-listener     name
 * rename-listener     name, to
 * add-bind            listener, [address, default any IPv4 address], port (a number, or "LOW-HIGH"), [transparent]
 * set-bind            listener, bind (its index), [address], [port]
 * remove-bind         listener, bind
 * set-transparent     listener, bind, transparent (true or false, of all addresses of the line)
 * set-default-backend listener, farm ("" takes it away)
 * set-mode            listener or farm or both, mode
 * set-maxconn         listener, maxconn (0: none)
 * set-timeout         listener or farm, timeout ("client", "connect" …), value ("30s"; null takes it away)
 * add-farm            name, [section "backend" or "listen"], [mode], [balance], [source], [servers: [{name, address, …}…]]
 * remove-farm         name
 * rename-farm         name, to; what names the farm follows
 * set-balance         farm, balance ("" takes it away)
 * set-source          farm, [server], source: "none", "clientip", "client", "ADDRESS" or "usesrc ADDRESS"; with a server,
 *                     "" takes its own away, so that the farm's holds
 * add-server          farm, name, address, [port], and as in set-server
 * remove-server       farm, server
 * rename-server       farm, server, to; what names the server follows
 * set-server          farm, server, and one or more of address, port (0: the client's), weight, maxconn, maxqueue, rise, fall,
 *                     check_port (numbers), inter, fastinter, downinter, slowstart (times such as "3s"), check, backup,
 *                     disabled (true or false). null takes the word away, so that `default-server` or the default holds.
 *
 * A section is removed from its first line to its last one that has words, with the comments between them.
 */
char *edit_change(const char *text, size_t length, const json_t *change, size_t *changed_length,
	char **problem);

#endif

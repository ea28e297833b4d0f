/*
 * What the parsers of the keywords share: the file's position, the line's words, the section that
 * is being filled, and the messages.
 *
 * A keyword's parser takes the words after its name with parser_next_word() and reports what is wrong with
 * parser_fail(); it never returns an error, since reading goes on. Words that it leaves are reported as
 * unexpected. A parameter that is misspelt is read on as what was probably meant.
 *
 * All that parsing makes lies in the configuration's memory and lives as long as the configuration.
 */
#ifndef TPROXY_CONFIG_PARSER_H
#define TPROXY_CONFIG_PARSER_H

#include "tproxy/config.h"

#include "keyword.h"
#include "places.h"
#include "tproxy/claims.h"
#include "tproxy/memory.h"
#include "words/words.h"

/* Where a keyword's once-only rule applies. */
enum scope {
	SCOPE_GLOBAL,
	SCOPE_SECTION,
	SCOPE_LINE,
	SCOPE_COUNT
};

struct log_line {
	bool global; /* `log global` */
	struct log_target target;
};

struct server_line {
	struct server server;
	bool has_source; /* else its backend's `source` holds */
	struct init_addr {
		bool set, last, libc, none; /* `init-addr`: the ways that it has */
		bool has_address;
		struct addr address; /* where no other way finds one */
	} init_addr;
	unsigned proxy_line;   /* of the send-proxy or send-proxy-v2, or 0 */
	const char *track;     /* what `track` names, or NULL */
	const char *resolvers; /* the same */
};

/* A rule, and the name of the backend or server that it chooses, or NULL. */
struct rule_line {
	enum rule_stage stage;
	struct client_rule rule;
	const char *target;
};

/* A test that counts the servers of a backend, whose name becomes a pointer after the last line. */
struct counting_test {
	struct acl_test *test;
	const char *backend;
	unsigned line;
};

/* The lines of `tcp-check` or `http-check`. */
struct check_rules {
	const struct section *owner; /* whose they are: `defaults`, or the section itself */
	unsigned line;               /* of the first one */
	unsigned lines;              /* how many, comments too: messages name a step by it */
	struct health_script script; /* without a connection that is not written down */
	bool has_request;
	struct health_request request;
	const char *comment; /* of the next step */
	bool commented;      /* the line before was that */
	enum health_action last;
};

enum check_option {
	CHECK_OPTION_NONE,
	CHECK_OPTION_TCP,
	CHECK_OPTION_HTTP,
	CHECK_OPTION_PROTOCOL,
};

struct section_checks {
	enum check_option option;
	struct health_script protocol; /* of the option */
	struct health_request option_request;
	struct check_rules tcp, http;
};

/* A section while it is read; what it will be is known after the last line of the file. */
struct section {
	struct section *next;
	struct proxy proxy;
	const char *default_backend; /* its name, or NULL */
	unsigned default_backend_line;
	struct source source;
	unsigned source_line;
	unsigned balance_line; /* 0: there is none */
	struct section_checks checks;
	struct server_line default_server; /* what `default-server` says of the servers after it */
	struct log_line *logs;
	size_t log_count;
	struct server_line *servers;
	size_t server_count;
	struct claims server_names; /* each with its place in SERVERS */
	struct acl **acls;
	size_t acl_count;
	struct claims acl_names; /* each with its place in ACLS */
	struct rule_line *rules;
	size_t rule_count;
	unsigned use_backend_line; /* of the first one, or 0 */
	unsigned http_mode_line;   /* of the `mode http` that it took from `defaults`, or 0 */
};

struct parser {
	const char *file;
	bool text_alone; /* no file is read, and no name looked up */
	struct diag *diag;
	struct config *config;
	struct config_memory *memory;
	/* The functions of table.c, which names the parsers, so that they cannot use it by name, and of foreign.c. */
	const struct keyword *(*keyword_at)(size_t index);
	bool (*foreign_find)(const char *name, unsigned where, struct foreign *found);

	unsigned line;
	struct words words;
	size_t next;                              /* the next word of the line */
	bool negated;                             /* the line began with `no` */
	char corrected[64];                       /* the keyword that a word was meant to be */
	unsigned seen[SCOPE_COUNT][KEYWORDS_MAX]; /* line of the keyword, or 0 */

	enum where where;            /* the kind of the section, 0 before the first */
	bool skipping;               /* within a section that is not known */
	bool skipped;                /* there was such a section */
	struct section *section;     /* NULL in `global` and `resolvers` */
	struct resolvers *resolvers; /* of the section that is read */
	/* Words of HTTP in `defaults`: the first of them, its line, and how many there are. */
	char http_word[64];
	unsigned http_line, http_count;
	struct section *sections, **sections_end;
	unsigned section_count;
	struct claims frontends, backends;    /* by index; a `listen` section is in both */
	struct section *defaults;             /* the last one, or NULL */
	struct counting_test *counting_tests; /* of all sections */
	size_t counting_test_count;
	struct log_line *logs; /* of `global` */
	size_t log_count;

	struct bind *bind;          /* of the line that is read */
	struct server_line *server; /* the same */
};

/* Adds an error or a warning to the diagnostics. WORD is what it is about, or NULL; the format follows. */
#define parser_fail(parser, word, ...) parser_fail_at(parser, (parser)->line, word, __VA_ARGS__)
#define parser_fail_at(parser, line, word, ...)                                                    \
	diag_add((parser)->diag, DIAG_ERROR, (parser)->file, line, word, __VA_ARGS__)
#define parser_warn_at(parser, line, word, ...)                                                    \
	diag_add((parser)->diag, DIAG_WARNING, (parser)->file, line, word, __VA_ARGS__)

/* The next word of the line, or NULL at its end; parser_next_word() takes it. It lives until the next line. */
const char *parser_peek_word(const struct parser *parser);
const char *parser_next_word(struct parser *parser);

/* Takes the next word where it is WORD. True where it was. */
bool parser_take_word(struct parser *parser, const char *word);

/*
 * Takes the next word, which must be there and not empty. WHAT names it in the message, such as "a number".
 * NULL after an error.
 */
const char *parser_require_word(struct parser *parser, const char *what);

/* The same, copied to the configuration's memory. NULL without memory, too. */
const char *parser_require_text(struct parser *parser, const char *what);

/* Takes the next word as a number of that range. False after an error; *VALUE is not written then. */
bool parser_require_number(
	struct parser *parser, unsigned minimum, unsigned maximum, unsigned *value);

/*
 * Notes a word of HTTP in `defaults`, where it does no harm to sections with `mode tcp`. All of them get one warning,
 * after the last line.
 */
void parser_note_http(struct parser *parser, const char *name);

/* Names are letters, digits, and . : _ - as in HAProxy. False after an error. */
bool parser_check_name(struct parser *parser, const char *name);

/* One line of the file, whose words are in parser->words. */
void parse_line(struct parser *parser);

/* All that is left of a line, as keywords that may stand at WHERE (ON_BIND or ON_SERVER). */
void parse_parameters(struct parser *parser, enum where where);

/* Sections. */
void parse_global(struct parser *parser);
void parse_defaults(struct parser *parser);
void parse_frontend(struct parser *parser);
void parse_backend(struct parser *parser);
void parse_listen(struct parser *parser);
void parse_resolvers(struct parser *parser);

/* Lines of sections. */
void parse_acl(struct parser *parser);
void parse_balance(struct parser *parser);
void parse_bind(struct parser *parser);
void parse_default_backend(struct parser *parser);
void parse_hold(struct parser *parser);
void parse_log(struct parser *parser);
void parse_log_format(struct parser *parser);
void parse_nameserver(struct parser *parser);
void parse_resolv_conf(struct parser *parser);
void parse_metrics(struct parser *parser);
void parse_mode(struct parser *parser);
void parse_nbproc(struct parser *parser);
void parse_tcp_check(struct parser *parser);
void parse_tcp_check_comment(struct parser *parser);
void parse_tcp_check_connect(struct parser *parser);
void parse_tcp_check_expect(struct parser *parser);
void parse_tcp_check_send(struct parser *parser);
void parse_tcp_check_send_binary(struct parser *parser);
void parse_httpchk(struct parser *parser);
void parse_http_check_comment(struct parser *parser);
void parse_http_check_connect(struct parser *parser);
void parse_http_check_expect(struct parser *parser);
void parse_http_check_send(struct parser *parser);
void parse_mysql_check(struct parser *parser);
void parse_pgsql_check(struct parser *parser);
void parse_redis_check(struct parser *parser);
void parse_smtpchk(struct parser *parser);
void parse_ssl_hello_chk(struct parser *parser);
void parse_hash_type(struct parser *parser);
void parse_httplog(struct parser *parser);
void parse_redispatch(struct parser *parser);
void parse_server(struct parser *parser);
void parse_server_template(struct parser *parser);
void parse_default_server(struct parser *parser);
void parse_source(struct parser *parser);
void parse_stats_socket(struct parser *parser);
void parse_unique_id_format(struct parser *parser);
void parse_tcp_request_connection(struct parser *parser);
void parse_tcp_request_session(struct parser *parser);
void parse_tcp_request_content(struct parser *parser);
void parse_tcp_request_inspect_delay(struct parser *parser);
void parse_use_backend(struct parser *parser);
void parse_use_server(struct parser *parser);

/*
 * Takes `if` or `unless` and all that follows it. ACLs of the section are known by name from their first line on.
 * False after an error, which was reported, or without memory.
 */
bool parse_condition(struct parser *parser, struct condition *condition);

/* Parameters of `bind` and `server` lines. */
void parse_bind_v4v6(struct parser *parser);
void parse_bind_v6only(struct parser *parser);
void parse_server_check_addr(struct parser *parser);
void parse_server_check_usesrc(struct parser *parser);
void parse_server_no_check(struct parser *parser);
void parse_server_agent_addr(struct parser *parser);
void parse_server_agent_send(struct parser *parser);
void parse_server_no_agent(struct parser *parser);
void parse_server_observe(struct parser *parser);
void parse_server_on_error(struct parser *parser);
void parse_server_on_marked_down(struct parser *parser);
void parse_server_on_marked_up(struct parser *parser);
void parse_server_resolve_opts(struct parser *parser);
void parse_server_resolve_prefer(struct parser *parser);
void parse_server_resolvers(struct parser *parser);
void parse_server_track(struct parser *parser);
void parse_server_init_addr(struct parser *parser);
void parse_server_enabled(struct parser *parser);
void parse_server_no_backup(struct parser *parser);
void parse_server_proxy_v2_options(struct parser *parser);
void parse_server_proxy_v2_tlv(struct parser *parser);
void parse_server_send_proxy(struct parser *parser);
void parse_server_send_proxy_v2(struct parser *parser);
void parse_server_source(struct parser *parser);
void parse_server_weight(struct parser *parser);

/* After the last line: what the section's checks do, or NULL where they connect and do no more. */
const struct health_script *config_check_script(
	struct parser *parser, const struct section *section);

/* After the last line: what a server's agent needs, an address and a port. */
void config_check_agent(struct parser *parser, const struct server *server);

/* The same of its checks. */
void config_check_target(
	struct parser *parser, const struct health_script *script, const struct server *server);

/* Whether the server's address says which family it has: not where its name was not to be looked up. */
bool config_has_family(const struct parser *parser, const struct server *server);

/* After the last line: spreads the turns of a backend's servers by their weights. */
void config_spread_turns(struct parser *parser, struct proxy *proxy);

/* After the last line: checks the whole, and makes the model of it. */
void config_resolve(struct parser *parser);

/* A part of that: the rules of all sections, and what they may lead to. The model has its proxies by then. */
void config_resolve_rules(struct parser *parser);

/* And after that part: which servers move, and who is asked for their names. */
void config_resolve_resolvers(struct parser *parser);

/* Then, where there was no error: warnings of what can hardly be meant. */
void config_warn_of_proxies(struct parser *parser);

/* And of servers that are listeners of the same file; sets server->loop. */
void config_warn_of_loops(struct parser *parser, const struct places *places);

#endif

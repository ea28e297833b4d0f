/*
 * A name is shared by all servers that ask for it in the same way. All name servers of its section are asked at once, and the first
 * answer with an address counts; of the family that is preferred, or else of the other one. Where no one has such an answer, servers keep
 * their addresses for as long as `hold` says of what was wrong, and are not used afterwards.
 *
 * A server whose address is in the answer stays there. Another one gets the first address that no other server of the backend has
 * from this name; if there is none, it has no address.
 *
 * The traps: answers come from outside, and libevent reads them in this thread, which is restricted and carries no traffic. And
 * an answer may still be on its way within the event loop when its evdns is freed, so what it refers to is freed later.
 */
#include "moving.h"

#include "balance.h"
#include "tproxy/clock.h"

#include <event2/dns.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	ADDRESSES_MAX = 64, /* of one answer */
	LINE_LENGTH = 512
};

/* One name server of a section, with evdns for it alone: so it is known which one has answered. */
struct asked {
	const struct resolvers *resolvers;
	const struct nameserver *nameserver;
	struct evdns_base *dns;
};

struct question {
	struct name *name;
	const struct asked *asked;
};

struct mover {
	const struct proxy *backend;
	const struct server *server;
	long long missing; /* since when its address is not in the answer; 0: it is */
};

struct name {
	struct moving *moving;
	const struct server *like; /* one of its servers, which says how to ask */
	struct mover *movers;
	size_t mover_count;
	struct question *questions; /* one for each name server */
	unsigned pending;           /* questions without an answer */
	int family;                 /* that is asked for now */
	bool answered, second;      /* the first family has no address */
	enum hold problem;          /* the worst answer so far */
	long long valid;            /* when the last valid answer came */
	struct event timer;
};

struct moving {
	struct event_base *base;
	struct limits *limits;
	moving_observer observer;
	void *arg;
	struct asked *asked;
	size_t asked_count;
	struct name *names;
	size_t name_count;
	bool stopped; /* a newer one is in its place; answers that come now are too late */
	struct event end;
};

/* An answer with addresses. */
struct answer {
	struct addr list[ADDRESSES_MAX];
	size_t count;
	char by[256]; /* "dns/ns1"; of all servers but the first, HAProxy says "DNS cache" */
};

static void ask(struct name *name, int family);

/* --- what is said --- */

static const char *address_text(bool known, const struct addr *address, char text[ADDR_TEXT_MAX])
{
	return known ? addr_format_ip(address, text) : "(none)";
}

static void say(struct name *name, const struct mover *mover, bool lost, const char *line)
{
	name->moving->observer(name->moving->arg, mover->backend, lost, line);
}

static void say_moved(struct name *name, const struct mover *mover, const struct addr *from,
	const struct addr *to, const char *by)
{
	const char *backend = mover->backend->name, *server = mover->server->name;
	char line[LINE_LENGTH], texts[2][ADDR_TEXT_MAX];

	snprintf(line, sizeof(line), "%s/%s changed its IP from %s to %s by %s.", backend, server,
		address_text(from != NULL, from, texts[0]), address_text(true, to, texts[1]), by);
	say(name, mover, false, line);
	if (from != NULL)
		return;
	snprintf(line, sizeof(line), "Server %s/%s ('%s') is UP/READY (resolves again).", backend,
		server, mover->server->host);
	say(name, mover, false, line);
	snprintf(line, sizeof(line),
		"Server %s/%s administratively READY thanks to valid DNS answer.", backend, server);
	say(name, mover, false, line);
}

static void say_lost(struct name *name, const struct mover *mover, const char *why)
{
	struct limits *limits = name->moving->limits;
	unsigned active, backups, waiting = 0;
	char line[LINE_LENGTH];

	balance_count(limits, mover->backend, &active, &backups);
	if (mover->backend->queues)
		waiting = queue_length(limits_server_queue(limits, mover->server));
	snprintf(line, sizeof(line),
		"%sServer %s/%s is going DOWN for maintenance (%s). %u active and %u backup servers left.%s %u sessions active, %u requeued, %u remaining in queue.",
		mover->server->backup ? "Backup " : "", mover->backend->name, mover->server->name,
		why, active, backups, active == 0 && backups > 0 ? " Running on backup." : "",
		limits_server_sessions(limits, mover->server),
		mover->backend->redispatch != 0 ? waiting : 0,
		mover->backend->redispatch != 0 ? 0 : waiting);
	say(name, mover, true, line);
}

/* --- what follows from an answer --- */

static bool is_same_host(const struct addr *a, const struct addr *b)
{
	size_t length =
		addr_family(a) == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);

	return addr_family(a) == addr_family(b) &&
	       memcmp(addr_bytes(a), addr_bytes(b), length) == 0;
}

static bool is_in(const struct answer *answer, const struct addr *address)
{
	for (size_t i = 0; i < answer->count; i++)
		if (is_same_host(&answer->list[i], address))
			return true;
	return false;
}

/* Whether another server of the same backend has it, and asks for the same name. */
static bool is_taken(const struct name *name, const struct mover *mover, const struct addr *address)
{
	for (size_t i = 0; i < name->mover_count; i++) {
		const struct mover *other = &name->movers[i];
		struct addr there;

		if (other != mover && other->backend == mover->backend &&
			limits_address(name->moving->limits, other->server, &there) &&
			is_same_host(&there, address))
			return true;
	}
	return false;
}

/* The one that is free in the answer; NULL: there is none. */
static const struct addr *find_address(
	const struct name *name, const struct mover *mover, const struct answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (mover->server->shares_address || !is_taken(name, mover, &answer->list[i]))
			return &answer->list[i];
	return NULL;
}

static void lose(struct name *name, const struct mover *mover, const char *why)
{
	struct addr at;

	if (!limits_address(name->moving->limits, mover->server, &at))
		return;
	limits_set_address(name->moving->limits, mover->server, NULL);
	say_lost(name, mover, why);
}

/* Whether it keeps an address that is not in the answer for a while yet, by `hold obsolete`. */
static bool holds_obsolete(const struct name *name, struct mover *mover)
{
	if (mover->missing == 0)
		mover->missing = clock_ms();
	return clock_ms() - mover->missing < name->like->resolvers->hold[HOLD_OBSOLETE];
}

static void move(struct name *name, struct mover *mover, const struct answer *answer)
{
	struct limits *limits = name->moving->limits;
	struct addr from;
	bool known = limits_address(limits, mover->server, &from);
	const struct addr *to;

	if (known && is_in(answer, &from) &&
		(mover->server->shares_address || !is_taken(name, mover, &from))) {
		mover->missing = 0;
		return;
	}
	if (known && !is_in(answer, &from) && holds_obsolete(name, mover))
		return;
	mover->missing = 0;
	to = find_address(name, mover, answer);
	if (to == NULL) {
		lose(name, mover, "No IP for server ");
		return;
	}
	limits_set_address(limits, mover->server, to);
	say_moved(name, mover, known ? &from : NULL, to,
		mover == name->movers ? answer->by : "DNS cache");
}

static void ask_later(struct name *name, unsigned milliseconds)
{
	struct timeval wait = {milliseconds / 1000, milliseconds % 1000 * 1000};

	evtimer_add(&name->timer, &wait);
}

static void answered(struct name *name, const struct answer *answer)
{
	name->answered = true;
	name->valid = clock_ms();
	for (size_t i = 0; i < name->mover_count; i++)
		move(name, &name->movers[i], answer);
	ask_later(name, name->like->resolvers->hold[HOLD_VALID]);
}

/* All name servers have answered, and none with an address. */
static void failed(struct name *name)
{
	static const char *const texts[] = {[HOLD_NX] = "DNS NX status",
		[HOLD_REFUSED] = "DNS refused status",
		[HOLD_TIMEOUT] = "DNS timeout status",
		[HOLD_OTHER] = "unspecified DNS error"};
	const struct resolvers *resolvers = name->like->resolvers;

	if (!name->second && name->problem == HOLD_NX) {
		name->second = true;
		ask(name, name->family == AF_INET ? AF_INET6 : AF_INET);
		return;
	}
	if (clock_ms() - name->valid >= resolvers->hold[name->problem])
		for (size_t i = 0; i < name->mover_count; i++)
			lose(name, &name->movers[i], texts[name->problem]);
	ask_later(name, resolvers->timeout_resolve);
}

/* --- questions and answers --- */

static enum hold problem_of(int result)
{
	switch (result) {
	case DNS_ERR_NONE: /* without an address */
	case DNS_ERR_NODATA:
	case DNS_ERR_NOTEXIST:
		return HOLD_NX;
	case DNS_ERR_REFUSED:
		return HOLD_REFUSED;
	case DNS_ERR_TIMEOUT:
		return HOLD_TIMEOUT;
	default:
		return HOLD_OTHER;
	}
}

/* A name that does not exist is more than a name server that is silent. */
static void note_problem(struct name *name, int result)
{
	enum hold problem = problem_of(result);

	if (name->problem == HOLD_VALID || problem < name->problem)
		name->problem = problem;
	if (name->pending == 0)
		failed(name);
}

static void on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
	const struct question *question = arg;
	struct name *name = question->name;
	int family = type == DNS_IPv6_AAAA ? AF_INET6 : AF_INET;
	size_t size = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	struct answer answer = {.count = 0};

	(void)ttl;
	if (name->moving->stopped)
		return;
	name->pending--;
	if (name->answered)
		return;
	if (result != DNS_ERR_NONE || count == 0) {
		note_problem(name, result);
		return;
	}
	for (int i = 0; i < count && answer.count < ADDRESSES_MAX; i++)
		answer.list[answer.count++] =
			addr_from_bytes(family, (const char *)addresses + (size_t)i * size);
	snprintf(answer.by, sizeof(answer.by), "%s/%s", question->asked->resolvers->name,
		question->asked->nameserver->name);
	answered(name, &answer);
}

static bool ask_one(struct question *question, int family)
{
	const char *host = question->name->like->host;
	struct evdns_base *dns = question->asked->dns;

	if (family == AF_INET)
		return evdns_base_resolve_ipv4(
			       dns, host, DNS_QUERY_NO_SEARCH, on_answer, question) != NULL;
	return evdns_base_resolve_ipv6(dns, host, DNS_QUERY_NO_SEARCH, on_answer, question) != NULL;
}

static void ask(struct name *name, int family)
{
	size_t count = name->like->resolvers->nameserver_count;

	name->family = family;
	name->answered = false;
	name->problem = HOLD_VALID;
	name->pending = (unsigned)count;
	for (size_t i = 0; i < count; i++)
		if (!ask_one(&name->questions[i], family))
			name->pending--;
	if (name->pending == 0)
		ask_later(name, name->like->resolvers->timeout_resolve);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct name *name = arg;

	(void)fd;
	(void)what;
	if (name->pending > 0) { /* a slower name server still answers the question before */
		ask_later(name, name->like->resolvers->timeout_resolve);
		return;
	}
	name->second = false;
	ask(name, name->like->prefers_ipv4 ? AF_INET : AF_INET6);
}

/* --- beginning and end --- */

static void set_option(
	struct evdns_base *dns, const char *name, unsigned whole, unsigned thousandths)
{
	char text[32];

	snprintf(text, sizeof(text), thousandths == 0 ? "%u" : "%u.%03u", whole, thousandths);
	evdns_base_set_option(dns, name, text);
}

/* evdns for one name server. It never gives that one up, as there is no other. */
static bool open_asked(struct event_base *base, struct asked *asked)
{
	const struct resolvers *resolvers = asked->resolvers;
	const struct addr *address = &asked->nameserver->address;

	asked->dns = evdns_base_new(base, 0);
	if (asked->dns == NULL)
		return false;
	set_option(asked->dns, "timeout:", resolvers->timeout_retry / 1000,
		resolvers->timeout_retry % 1000);
	set_option(asked->dns, "attempts:", resolvers->retries, 0);
	set_option(asked->dns, "max-timeouts:", 255, 0);
	set_option(asked->dns, "initial-probe-timeout:", 1, 0);
	return evdns_base_nameserver_sockaddr_add(
		       asked->dns, &address->sa, addr_length(address), 0) == 0;
}

static size_t count_nameservers(const struct config *config)
{
	size_t count = 0;

	for (const struct resolvers *each = config->resolvers; each != NULL; each = each->next)
		count += each->nameserver_count;
	return count;
}

size_t moving_descriptors(const struct config *config)
{
	return 2 * count_nameservers(config);
}

static bool open_all(struct moving *moving, const struct config *config)
{
	moving->asked = calloc(count_nameservers(config) + 1, sizeof(*moving->asked));
	if (moving->asked == NULL)
		return false;
	for (const struct resolvers *each = config->resolvers; each != NULL; each = each->next)
		for (size_t i = 0; i < each->nameserver_count; i++) {
			struct asked *asked = &moving->asked[moving->asked_count++];

			*asked = (struct asked){
				.resolvers = each, .nameserver = &each->nameservers[i]};
			if (!open_asked(moving->base, asked))
				return false;
		}
	return true;
}

static bool is_asked_alike(const struct server *a, const struct server *b)
{
	return a->resolvers == b->resolvers && a->prefers_ipv4 == b->prefers_ipv4 &&
	       strcasecmp(a->host, b->host) == 0;
}

static struct name *find_name(struct moving *moving, const struct server *server)
{
	for (size_t i = 0; i < moving->name_count; i++)
		if (is_asked_alike(moving->names[i].like, server))
			return &moving->names[i];
	return NULL;
}

static bool add_questions(struct moving *moving, struct name *name)
{
	const struct resolvers *resolvers = name->like->resolvers;
	size_t next = 0;

	name->questions = calloc(resolvers->nameserver_count, sizeof(*name->questions));
	for (size_t i = 0; i < moving->asked_count && name->questions != NULL; i++)
		if (moving->asked[i].resolvers == resolvers)
			name->questions[next++] = (struct question){name, &moving->asked[i]};
	return name->questions != NULL;
}

static bool add_mover(
	struct moving *moving, const struct proxy *backend, const struct server *server)
{
	struct name *name = find_name(moving, server);
	struct mover *grown;

	if (name == NULL) {
		name = &moving->names[moving->name_count++];
		*name = (struct name){.moving = moving, .like = server, .valid = clock_ms()};
		evtimer_assign(&name->timer, moving->base, on_time, name);
		if (!add_questions(moving, name))
			return false;
	}
	grown = realloc(name->movers, (name->mover_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return false;
	name->movers = grown;
	name->movers[name->mover_count++] = (struct mover){backend, server, 0};
	return true;
}

/* Where a server of this name asked for another one before, or none, it is where the file says, as far as that is known. */
static void place(struct limits *limits, const struct moving *before, const struct server *server,
	const struct counterparts *counterparts)
{
	size_t index =
		counterparts == NULL ? COUNTERPART_NONE : counterparts->servers[server->index];

	for (size_t i = 0; before != NULL && i < before->name_count; i++)
		for (size_t j = 0; j < before->names[i].mover_count; j++) {
			const struct server *older = before->names[i].movers[j].server;

			if (older->index == index && strcasecmp(older->host, server->host) == 0)
				return;
		}
	limits_set_address(limits, server, server->unresolved ? NULL : &server->address);
}

static bool add_all(struct moving *moving, const struct config *config, const struct moving *before,
	const struct counterparts *counterparts)
{
	moving->names = calloc(config->server_count + 1, sizeof(*moving->names));
	for (size_t i = 0; i < config->proxy_count && moving->names != NULL; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++) {
			const struct proxy *backend = &config->proxies[i];
			const struct server *server = &backend->servers[j];

			if (server->resolvers == NULL)
				continue;
			place(moving->limits, before, server, counterparts);
			if (!add_mover(moving, backend, server))
				return false;
		}
	return moving->names != NULL;
}

static void stop(struct moving *moving)
{
	moving->stopped = true;
	for (size_t i = 0; i < moving->asked_count; i++)
		if (moving->asked[i].dns != NULL)
			evdns_base_free(moving->asked[i].dns, 0);
	moving->asked_count = 0;
	for (size_t i = 0; i < moving->name_count; i++)
		evtimer_del(&moving->names[i].timer);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	moving_free(arg);
}

/* Answers may be on their way within the event loop, so its memory is freed after them. */
static void retire(struct moving *moving)
{
	static const struct timeval now;

	if (moving == NULL)
		return;
	stop(moving);
	evtimer_assign(&moving->end, moving->base, on_end, moving);
	evtimer_add(&moving->end, &now);
}

struct moving *moving_start(struct event_base *base, const struct config *config,
	struct limits *limits, struct moving *before, const struct counterparts *counterparts,
	moving_observer observer, void *arg)
{
	struct moving *moving = config->resolvers == NULL ? NULL : calloc(1, sizeof(*moving));

	if (moving != NULL) {
		*moving = (struct moving){
			.base = base, .limits = limits, .observer = observer, .arg = arg};
		if (!open_all(moving, config) || !add_all(moving, config, before, counterparts)) {
			moving_free(moving);
			moving = NULL;
		}
	}
	retire(before);
	for (size_t i = 0; moving != NULL && i < moving->name_count; i++)
		ask_later(&moving->names[i], 0);
	return moving;
}

void moving_free(struct moving *moving)
{
	if (moving == NULL)
		return;
	stop(moving);
	for (size_t i = 0; i < moving->name_count; i++) {
		free(moving->names[i].movers);
		free(moving->names[i].questions);
	}
	free(moving->names);
	free(moving->asked);
	free(moving);
}

/*
 * Dropping privileges: all but CAP_NET_RAW, the least that IP_TRANSPARENT needs (ip(7)), and
 * CAP_NET_BIND_SERVICE, where a listener or the source of a connection to a server may have a low port.
 *
 * The trap is the order: the bounding set, groups and user change while the process may still change
 * them, the capabilities are kept across that, and no_new_privs comes last. Without root only the
 * capability set changes. The bounding set stays then, which does no harm: with no_new_privs no
 * program that is started could gain a capability from it.
 */
#include "privileges.h"

#include "proxy/inherited.h"
#include "tproxy/socket.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	FIRST_PORT_DEFAULT = 1024
};

static const struct {
	enum privilege privilege;
	unsigned capability;
} capabilities[] = {
	{PRIVILEGE_TRANSPARENT, CAP_NET_RAW},
	{PRIVILEGE_LOW_PORTS, CAP_NET_BIND_SERVICE},
};
enum {
	CAPABILITIES = sizeof(capabilities) / sizeof(capabilities[0])
};

int privileges_resolve(
	const struct global *global, const char *path, struct identity *identity, struct diag *diag)
{
	*identity = (struct identity){.uid = geteuid(), .gid = getegid()};
	if (global->user != NULL) {
		/* cppcheck-suppress getpwnamCalled ; no thread runs yet */
		const struct passwd *user = getpwnam(global->user);

		if (user == NULL) {
			diag_add(diag, DIAG_ERROR, path, 0, global->user,
				"no such user on this host; create it, or write another one");
			return -1;
		}
		*identity = (struct identity){.uid = user->pw_uid, .gid = user->pw_gid};
	}
	if (global->group != NULL) {
		/* cppcheck-suppress getgrnamCalled ; no thread runs yet */
		const struct group *group = getgrnam(global->group);

		if (group == NULL) {
			diag_add(diag, DIAG_ERROR, path, 0, global->group,
				"no such group on this host; create it, or write another one");
			return -1;
		}
		identity->gid = group->gr_gid;
	}
	return 0;
}

/* --- what is needed --- */

unsigned privileges_first_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	unsigned port = FIRST_PORT_DEFAULT;

	if (file == NULL)
		return port;
	if (fscanf(file, "%u", &port) != 1)
		port = FIRST_PORT_DEFAULT;
	fclose(file);
	return port;
}

/* The first server whose source matches; NULL: none does. */
static const struct server *find_server(const struct config *config,
	bool (*matches)(const struct source *source, unsigned first_port))
{
	unsigned first_port = privileges_first_port();

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].server_count; j++)
			if (matches(&config->proxies[i].servers[j].source, first_port))
				return &config->proxies[i].servers[j];
	return NULL;
}

static bool has_low_port(const struct source *source, unsigned first_port)
{
	if (source->mode != SOURCE_ADDRESS && source->mode != SOURCE_FOREIGN)
		return false;
	return addr_port(&source->address) != 0 && addr_port(&source->address) < first_port;
}

static bool takes_port_of_client(const struct source *source, unsigned first_port)
{
	return source->mode == SOURCE_CLIENT && first_port > 1;
}

const struct server *privileges_low_source(const struct config *config)
{
	return find_server(config, has_low_port);
}

/* A listener of TCP that a service manager has made transparent needs nothing; replies to datagrams do. */
static bool needs_transparent(const struct config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++) {
			const struct bind *bind = &config->proxies[i].binds[j];
			struct socket_listener place =
				inherited_place(bind, config->proxies[i].mode);

			if (bind->transparent && (place.datagrams || !inherited_has(&place, true)))
				return true;
		}
	return config_has_foreign_sources(config);
}

unsigned privileges_needed(const struct config *config)
{
	unsigned needed = needs_transparent(config) ? PRIVILEGE_TRANSPARENT : 0;

	if (privileges_low_source(config) != NULL ||
		find_server(config, takes_port_of_client) != NULL)
		needed |= PRIVILEGE_LOW_PORTS;
	return needed;
}

static bool has_low_listener(const struct config *config)
{
	unsigned first_port = privileges_first_port();

	for (size_t i = 0; i < config->proxy_count; i++)
		for (size_t j = 0; j < config->proxies[i].bind_count; j++)
			if (addr_port(&config->proxies[i].binds[j].address) < first_port)
				return true;
	return false;
}

unsigned privileges_kept(const struct config *config)
{
	return privileges_needed(config) | (has_low_listener(config) ? PRIVILEGE_LOW_PORTS : 0);
}

/* Where a capability comes from. */
static const char *advice_on_start(bool reload, const char *start)
{
	return reload ? "A reload cannot get it back, since tproxyd dropped what it did not need: restart it"
		      : start;
}

/* A privilege that is needed in any case is an error where it is missing, another one a warning. */
int privileges_check(
	const struct config *config, const char *path, unsigned held, bool reload, struct log *log)
{
	unsigned needed = privileges_needed(config), missing = needed & ~held;
	const struct server *server = privileges_low_source(config);
	char address[ADDR_TEXT_MAX];

	if (needed & PRIVILEGE_TRANSPARENT && !socket_may_be_transparent()) {
		log_complain(log, "CAP_NET_RAW is missing: `transparent` and `usesrc` need it. %s",
			advice_on_start(reload,
				"Start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_RAW in its systemd unit, or `setcap cap_net_raw+ep` on the program)"));
		return -1;
	}
	if (!(missing & PRIVILEGE_LOW_PORTS))
		return 0;
	if (server == NULL) {
		log_complain(log,
			"warning: CAP_NET_BIND_SERVICE is missing: with `usesrc client`, clients whose port is below %u are refused. %s",
			privileges_first_port(),
			advice_on_start(reload,
				"Start tproxyd as root, or give it the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit)"));
		return 0;
	}
	log_complain(log,
		"%s:%u: CAP_NET_BIND_SERVICE is missing: server %s has the source %s, and ports below %u need it. %s, or write a higher port",
		path, server->line, server->name, addr_format(&server->source.address, address),
		privileges_first_port(),
		advice_on_start(reload,
			"Start tproxyd as root, give it the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit)"));
	return -1;
}

/* --- what is kept --- */

unsigned privileges_held(void)
{
	unsigned held = 0;

	if (capng_get_caps_process() == -1)
		return 0;
	for (int i = 0; i < CAPABILITIES; i++)
		if (capng_have_capability(CAPNG_EFFECTIVE, capabilities[i].capability))
			held |= capabilities[i].privilege;
	return held;
}

const char *privileges_text(unsigned privileges)
{
	static const char *const texts[] = {
		[0] = "no capability",
		[PRIVILEGE_TRANSPARENT] = "CAP_NET_RAW",
		[PRIVILEGE_LOW_PORTS] = "CAP_NET_BIND_SERVICE",
		[PRIVILEGE_TRANSPARENT | PRIVILEGE_LOW_PORTS] =
			"CAP_NET_RAW and CAP_NET_BIND_SERVICE",
	};

	return texts[privileges];
}

/*
 * Drops them only where the process may: an ordinary user keeps the user's groups. In a user
 * namespace that denies setgroups(2), which cannot be allowed again, the groups stay, too.
 */
static int drop_groups(void)
{
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) || getgroups(0, NULL) == 0)
		return 0;
	return setgroups(0, NULL) == 0 || errno == EPERM ? 0 : -1;
}

static int change_identity(const struct identity *identity, bool may_cut_bounds)
{
	bool other = identity->uid != geteuid() || identity->gid != getegid();
	int failed;

	if (!other)
		return capng_apply(may_cut_bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	failed = capng_change_id((int)identity->uid, (int)identity->gid,
		CAPNG_DROP_SUPP_GRP | (may_cut_bounds ? CAPNG_CLEAR_BOUNDING : 0));
	return failed == 0 ? 0 : -1;
}

int privileges_drop(const struct identity *identity, unsigned kept)
{
	bool may_cut_bounds;
	unsigned held = 0;

	if (capng_get_caps_process() == -1)
		return -1;
	may_cut_bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	for (int i = 0; i < CAPABILITIES; i++)
		if (capng_have_capability(CAPNG_PERMITTED, capabilities[i].capability))
			held |= kept & capabilities[i].privilege;
	if (drop_groups() == -1)
		return -1;
	capng_clear(CAPNG_SELECT_BOTH);
	for (int i = 0; i < CAPABILITIES; i++)
		if (held & capabilities[i].privilege)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				capabilities[i].capability);
	errno = 0;
	if (change_identity(identity, may_cut_bounds) != 0) {
		errno = errno == 0 ? EPERM : errno;
		return -1;
	}
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

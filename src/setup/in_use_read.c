/*
 * Asks the host's tools and /proc/sys for what facts.c makes sense of.
 */
#include "hoststate/sysctl.h"
#include "in_use.h"
#include "our_rules.h"
#include "tproxy/array.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A sysctl; one that the kernel has not is 0. False with a message where it is there and cannot be read. */
static bool read_number(const char *path, int *number)
{
	*number = 0;
	if (sysctl_number(path, number) || !sysctl_exists(path))
		return true;
	fprintf(stderr, "tproxyctl: /proc/sys/%s cannot be read, or is no number\n", path);
	return false;
}

static bool read_link_number(const char *link, const char *key, int *number)
{
	char *path = text_format("net/ipv4/conf/%s/%s", link, key);
	bool well = read_number(path, number);

	free(path);
	return well;
}

static bool add_link(struct facts *facts, const char *name)
{
	struct fact_link link = {0};

	if (!read_link_number(name, "src_valid_mark", &link.src_valid_mark) ||
		!read_link_number(name, "accept_local", &link.accept_local) ||
		!read_link_number(name, "rp_filter", &link.rp_filter))
		return false;
	link.name = text_copy(name);
	facts->links = array_room(facts->links, facts->link_count, sizeof(link));
	facts->links[facts->link_count++] = link;
	return true;
}

static bool read_links(struct facts *facts)
{
	static const char path[] = "/proc/sys/net/ipv4/conf";
	DIR *folder = opendir(path);
	struct dirent *entry;
	bool well = folder != NULL;

	/* The end of a folder and an error look alike, but for errno. */
	/* cppcheck-suppress readdirCalled */
	while (well && (errno = 0, entry = readdir(folder)) != NULL) {
		const char *name = entry->d_name;

		if (*name != '.' && strcmp(name, "default") != 0 && strcmp(name, "lo") != 0)
			well = add_link(facts, name);
	}
	if (folder == NULL || (well && errno != 0)) {
		fprintf(stderr, "tproxyctl: %s: %s\n", path, strerror(errno));
		well = false;
	}
	if (folder != NULL)
		closedir(folder);
	return well;
}

static bool read_sysctls(struct facts *facts)
{
	static const char tw_reuse[] = "net/ipv4/tcp_tw_reuse",
			  timestamps[] = "net/ipv4/tcp_timestamps";
	int on = 0;

	if (!read_number("net/ipv6/ip_nonlocal_bind", &facts->nonlocal_bind_6) ||
		!read_number("net/ipv6/bindv6only", &facts->bindv6only) ||
		!read_number("net/ipv4/tcp_fwmark_accept", &facts->fwmark_accept) ||
		!read_number(tw_reuse, &facts->tw_reuse) || !read_number(timestamps, &on))
		return false;
	facts->tw_reuse_there = sysctl_exists(tw_reuse);
	facts->no_timestamps = on == 0 && sysctl_exists(timestamps);
	return true;
}

static bool read_ip(struct facts *facts, int family)
{
	const char *option = family == AF_INET6 ? "-6" : "-4";
	struct command_result rules, routes;
	char *line = text_format("ip -N -j %s rule show", option);
	bool well = command_line(line, NULL, &rules) && facts_of_rules(facts, family, rules.out);

	free(line);
	line = text_format("ip -N -j %s route show table all", option);
	if (command_line(line, NULL, &routes))
		well = well && facts_of_routes(facts, routes.out);
	else
		well = false;
	free(line);
	if (!well)
		fprintf(stderr,
			"tproxyctl: `ip %s` does not say what rules and routes there are: %s%s\n",
			option, rules.errors, routes.errors);
	command_free(&rules);
	command_free(&routes);
	return well;
}

/* Takes what a tool has listed; false where that is cut off, or not what the tool writes. */
static bool take_rules(struct facts *facts, const char *program, const char *listing)
{
	if (strcmp(program, "nft") == 0)
		return facts_of_nft(facts, listing);
	return facts_of_iptables(facts, program, listing) && firewall_save_is_whole(listing);
}

/*
 * Asks a tool what there is. Only root may, so a refusal leaves gaps in what is known; false with a message
 * where it does not end, or is not to be believed.
 */
static bool read_rules(struct facts *facts, const char *program, const char *line)
{
	bool well = true;
	struct command_result result;

	if (!command_exists(program))
		return true;
	if (command_line(line, NULL, &result))
		well = take_rules(facts, program, result.out);
	else if (result.late)
		well = false;
	else
		facts->incomplete = true;
	if (!well)
		fprintf(stderr, "tproxyctl: `%s`: %s\n", line,
			result.late ? result.errors
				    : "what it writes is cut off, or cannot be read");
	command_free(&result);
	return well;
}

static bool read_firewall(struct facts *facts)
{
	static const char *const programs[] = {
		"iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save"};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (!read_rules(facts, programs[i], programs[i]))
			return false;
	return read_rules(facts, "nft", "nft -j list ruleset");
}

bool facts_read(struct facts *facts)
{
	if (!read_sysctls(facts) || !read_ip(facts, AF_INET))
		return false;
	if (sysctl_exists("net/ipv6/conf/all/forwarding") && !read_ip(facts, AF_INET6))
		return false;
	return read_links(facts) && read_firewall(facts);
}

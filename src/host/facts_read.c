/*
 * Asks the host's tools and /proc/sys for what facts.c makes sense of.
 */
#include "tproxy/array.h"
#include "tproxy/command.h"
#include "tproxy/facts.h"
#include "tproxy/firewall.h"
#include "tproxy/sysctls.h"
#include "tproxy/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What is not there, or is no number, is 0. */
static int number_at(const char *path)
{
	int number = 0;

	sysctl_number(path, &number);
	return number;
}

static int number_of(const char *link, const char *key)
{
	char *path = text_format("net/ipv4/conf/%s/%s", link, key);
	int number = number_at(path);

	free(path);
	return number;
}

static void read_links(struct facts *facts)
{
	DIR *folder = opendir("/proc/sys/net/ipv4/conf");
	struct dirent *entry;

	/* cppcheck-suppress readdirCalled */
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		const char *name = entry->d_name;

		if (*name == '.' || strcmp(name, "default") == 0 || strcmp(name, "lo") == 0)
			continue;
		facts->links = array_room(facts->links, facts->link_count, sizeof(*facts->links));
		facts->links[facts->link_count++] =
			(struct fact_link){text_copy(name), number_of(name, "src_valid_mark"),
				number_of(name, "accept_local"), number_of(name, "rp_filter")};
	}
	if (folder != NULL)
		closedir(folder);
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
	facts->nonlocal_bind_6 = number_at("net/ipv6/ip_nonlocal_bind");
	facts->bindv6only = number_at("net/ipv6/bindv6only");
	facts->fwmark_accept = number_at("net/ipv4/tcp_fwmark_accept");
	if (!read_ip(facts, AF_INET))
		return false;
	if (sysctl_exists("net/ipv6/conf/all/forwarding") && !read_ip(facts, AF_INET6))
		return false;
	read_links(facts);
	return read_firewall(facts);
}

/*
 * Asks the host's tools and /proc/sys for what facts.c makes sense of.
 */
#include "firewall/tool.h"
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

static bool add_link(struct in_use *in_use, const char *name)
{
	struct in_use_link link = {0};

	if (!read_link_number(name, "src_valid_mark", &link.src_valid_mark) ||
		!read_link_number(name, "accept_local", &link.accept_local) ||
		!read_link_number(name, "rp_filter", &link.rp_filter))
		return false;
	link.name = text_copy(name);
	in_use->links = array_room(in_use->links, in_use->link_count, sizeof(link));
	in_use->links[in_use->link_count++] = link;
	return true;
}

static bool read_links(struct in_use *in_use)
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
			well = add_link(in_use, name);
	}
	if (folder == NULL || (well && errno != 0)) {
		fprintf(stderr, "tproxyctl: %s: %s\n", path, strerror(errno));
		well = false;
	}
	if (folder != NULL)
		closedir(folder);
	return well;
}

static bool read_sysctls(struct in_use *in_use)
{
	static const char tw_reuse[] = "net/ipv4/tcp_tw_reuse",
			  timestamps[] = "net/ipv4/tcp_timestamps";
	int on = 0;

	if (!read_number("net/ipv6/ip_nonlocal_bind", &in_use->nonlocal_bind_6) ||
		!read_number("net/ipv6/bindv6only", &in_use->bindv6only) ||
		!read_number("net/ipv4/tcp_fwmark_accept", &in_use->fwmark_accept) ||
		!read_number(tw_reuse, &in_use->tw_reuse) || !read_number(timestamps, &on))
		return false;
	in_use->tw_reuse_there = sysctl_exists(tw_reuse);
	in_use->no_timestamps = on == 0 && sysctl_exists(timestamps);
	return true;
}

static bool read_ip(struct in_use *in_use, int family)
{
	const char *option = family == AF_INET6 ? "-6" : "-4";
	struct subprocess_result rules, routes;
	char *line = text_format("ip -N -j %s rule show", option);
	bool well = subprocess_run_line(line, NULL, &rules) &&
		    in_use_of_rules(in_use, family, rules.out);

	free(line);
	line = text_format("ip -N -j %s route show table all", option);
	if (subprocess_run_line(line, NULL, &routes))
		well = well && in_use_of_routes(in_use, routes.out);
	else
		well = false;
	free(line);
	if (!well)
		fprintf(stderr,
			"tproxyctl: `ip %s` does not say what rules and routes there are: %s%s\n",
			option, rules.errors, routes.errors);
	subprocess_free(&rules);
	subprocess_free(&routes);
	return well;
}

/* Takes what a tool has listed; false where that is cut off, or not what the tool writes. */
static bool take_rules(struct in_use *in_use, const char *program, const char *listing)
{
	if (strcmp(program, "nft") == 0)
		return in_use_of_nft(in_use, listing);
	return in_use_of_iptables(in_use, program, listing) && our_rules_save_is_whole(listing);
}

/*
 * Asks a tool what there is. Only root may, so a refusal leaves gaps in what is known; false with a message
 * where it does not end, or is not to be believed.
 */
static bool read_rules(struct in_use *in_use, const char *program, const char *line)
{
	bool well = true;
	struct subprocess_result result;

	if (!subprocess_exists(program))
		return true;
	if (subprocess_run_line(line, NULL, &result))
		well = take_rules(in_use, program, result.out);
	else if (result.timed_out)
		well = false;
	else
		in_use->incomplete = true;
	if (!well)
		fprintf(stderr, "tproxyctl: `%s`: %s\n", line,
			result.timed_out ? result.errors
					 : "what it writes is cut off, or cannot be read");
	subprocess_free(&result);
	return well;
}

static bool read_firewall(struct in_use *in_use)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (enum firewall_tool tool = TOOL_IPTABLES; tool <= TOOL_LEGACY; tool++)
		for (size_t i = 0; i < 2; i++) {
			const char *program = firewall_tool_save(tool, families[i]);

			if (!read_rules(in_use, program, program))
				return false;
		}
	return read_rules(in_use, "nft", "nft -j list ruleset");
}

bool in_use_read(struct in_use *in_use)
{
	if (!read_sysctls(in_use) || !read_ip(in_use, AF_INET))
		return false;
	if (sysctl_exists("net/ipv6/conf/all/forwarding") && !read_ip(in_use, AF_INET6))
		return false;
	return read_links(in_use) && read_firewall(in_use);
}

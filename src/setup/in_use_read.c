/*
 * Reads the host: sysctls from /proc/sys, policy rules and routes by hoststate/network.h, and packet rules from
 * the firewall tools whose tables the kernel has (hoststate/tables.h).
 *
 * Half of a listing would make a mark in use look free. So output that is cut off stops everything, and a tool
 * that refuses to list its rules (it needs root) is noted in `incomplete`. The trap: a tool may be cut off and
 * exit with 0, so every listing is checked for its end.
 */
#include "firewall/tool.h"
#include "hoststate/sysctl.h"
#include "hoststate/tables.h"
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

/* A sysctl; 0 where the kernel does not have it. False with a message where it cannot be read. */
static bool read_number(const char *path, int *number)
{
	*number = 0;
	if (sysctl_number(path, number) || !sysctl_exists(path))
		return true;
	fprintf(stderr, "tproxyctl: /proc/sys/%s cannot be read or is not a number\n", path);
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

	/* readdir() returns NULL at the end and for an error; only errno tells them apart. */
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

static bool read_network(struct in_use *in_use)
{
	struct network network = {0};
	char *problem = NULL;
	bool well = network_read(&network, &problem);

	if (well)
		in_use_add_network(in_use, &network);
	else
		fprintf(stderr, "tproxyctl: %s\n", problem);
	network_free(&network);
	free(problem);
	return well;
}

/* Adds what a tool lists; false where that is cut off or cannot be parsed. */
static bool add_listing(struct in_use *in_use, const char *program, const char *listing)
{
	if (strcmp(program, "nft") == 0)
		return in_use_add_nft(in_use, listing);
	return in_use_add_iptables(in_use, program, listing) && our_rules_save_is_whole(listing);
}

/*
 * Runs a tool that lists rules. Only root may do that, so a tool that fails leaves a gap and is noted; false with
 * a message where it does not end, or where its output is cut off or cannot be parsed.
 */
static bool read_rules(struct in_use *in_use, const char *program, const char *line)
{
	bool well = true;
	struct subprocess_result result;

	if (!subprocess_exists(program))
		return true;
	if (subprocess_run_line(line, NULL, &result))
		well = add_listing(in_use, program, result.out);
	else if (result.timed_out)
		well = false;
	else
		in_use->incomplete = true;
	if (!well)
		fprintf(stderr, "tproxyctl: `%s`: %s\n", line,
			result.timed_out ? result.errors
					 : "its output is cut off or cannot be parsed");
	subprocess_free(&result);
	return well;
}

/*
 * The plan's own tool is asked in any case, and nft with iptables, whose tables are nft's: one that hangs has to show before
 * anything is changed.
 */
static bool is_asked(const struct in_use *in_use, const struct tables *tables,
	enum firewall_tool tool, int family)
{
	return tool == in_use->tool || (tool == TOOL_NFT && in_use->tool == TOOL_IPTABLES) ||
	       tables_may_have(tables, tool, family);
}

static bool read_firewall(struct in_use *in_use)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct tables tables;

	tables_read(&tables);
	for (enum firewall_tool tool = TOOL_IPTABLES; tool <= TOOL_LEGACY; tool++)
		for (size_t i = 0; i < 2; i++) {
			const char *program = firewall_tool_save(tool, families[i]);

			if (is_asked(in_use, &tables, tool, families[i]) &&
				!read_rules(in_use, program, program))
				return false;
		}
	return !is_asked(in_use, &tables, TOOL_NFT, AF_UNSPEC) ||
	       read_rules(in_use, "nft", "nft -j list ruleset");
}

bool in_use_read(struct in_use *in_use)
{
	return read_sysctls(in_use) && read_network(in_use) && read_links(in_use) &&
	       read_firewall(in_use);
}

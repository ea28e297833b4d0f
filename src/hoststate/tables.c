/*
 * Reads which tables the kernel has.
 *
 * The trap: iptables and nft keep their tables in one place. iptables-save lists those of IPv4 and IPv6 that have the names of
 * its own, also where nft made them; nft lists all.
 */
#include "tables.h"
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <unistd.h>

static bool is_of_iptables(const char *name)
{
	static const char *const names[] = {"filter", "nat", "mangle", "raw", "security"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int read_name(const struct nlattr *attribute, void *context)
{
	const char **name = context;

	if (mnl_attr_get_type(attribute) != NFTA_TABLE_NAME)
		return MNL_CB_OK;
	if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == -1)
		return netlink_refuse(EPROTO);
	*name = mnl_attr_get_str(attribute);
	return MNL_CB_OK;
}

static int read_table(const struct nlmsghdr *message, void *context)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
	struct tables *tables = context;
	const char *name = "";

	if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE) ||
		mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return netlink_refuse(EPROTO);
	if (netlink_attributes(message, sizeof(*header), read_name, &name) == MNL_CB_ERROR)
		return MNL_CB_ERROR;
	if (header->nfgen_family == NFPROTO_IPV4 && is_of_iptables(name))
		tables->iptables[0] = true;
	else if (header->nfgen_family == NFPROTO_IPV6 && is_of_iptables(name))
		tables->iptables[1] = true;
	else
		tables->others = true;
	return MNL_CB_OK;
}

int tables_parse(struct tables *tables, const void *data, size_t length)
{
	return netlink_parse(data, length, 0, read_table, tables);
}

void tables_read(struct tables *tables)
{
	char room[64] = {0};
	struct nlmsghdr *message = mnl_nlmsg_put_header(room);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	*tables = (struct tables){0};
	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nfgen_family = NFPROTO_UNSPEC;
	header->version = NFNETLINK_V0;
	tables->known =
		netlink_request(NETLINK_NETFILTER, message, read_table, tables) == MNL_CB_STOP;
}

/* The file has the names of the tables that are there. Without the file the kernel has no iptables-legacy, or none was used. */
static bool may_have_legacy(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	char byte;

	if (fd == -1)
		return errno != ENOENT;
	length = read(fd, &byte, 1);
	close(fd);
	return length != 0;
}

bool tables_may_have(const struct tables *tables, enum firewall_tool tool, int family)
{
	if (tool == TOOL_LEGACY)
		return may_have_legacy(family == AF_INET6 ? "/proc/net/ip6_tables_names"
							  : "/proc/net/ip_tables_names");
	if (!tables->known)
		return true;
	if (tool == TOOL_IPTABLES)
		return tables->iptables[family == AF_INET6];
	return tables->iptables[0] || tables->iptables[1] || tables->others;
}

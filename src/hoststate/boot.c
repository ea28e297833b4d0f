/*
 * Reads the files that make rules, routes and sysctls at boot.
 *
 * A file of packet rules counts only if the service that loads it is enabled: a link in some TARGET.wants. Of sysctl.d, a
 * file in /etc replaces one of the same name below /usr, and all are set in the order of their names (sysctl.d(5)).
 *
 * The trap is a file that only root may read: then nothing is known, and nothing is reported as lost.
 */
#include "boot.h"
#include "tproxy/array.h"
#include "tproxy/file.h"
#include "tproxy/text.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reader {
	struct boot *boot;
	const char *root;
};

/* The text of a file, or NULL. One that is there and cannot be read is noted. */
static char *read_text(const struct reader *reader, const char *path)
{
	char *full = text_format("%s%s", reader->root, path), *text;
	size_t length;

	text = file_read_regular(full, &length);
	if (text == NULL && errno == EACCES && *reader->boot->unreadable == '\0')
		snprintf(reader->boot->unreadable, sizeof(reader->boot->unreadable), "%s", path);
	free(full);
	return text;
}

static void add_file(const struct reader *reader, const char *path, char **list)
{
	char *text = read_text(reader, path);

	if (text != NULL)
		text_add(list, "%s\n", text);
	free(text);
}

static bool ends_with(const char *name, const char *end)
{
	size_t length = strlen(name), tail = strlen(end);

	return length > tail && strcmp(name + length - tail, end) == 0;
}

/* The names in a folder that end in END, sorted; to be freed, and each of them. NULL behind the last. */
static char **names_in(const struct reader *reader, const char *folder, const char *end)
{
	char *full = text_format("%s%s", reader->root, folder);
	struct dirent **entries = NULL;
	int count = scandir(full, &entries, NULL, alphasort);
	char **names = array_room(NULL, 0, sizeof(*names));
	size_t made = 0;

	for (int i = 0; i < count; i++) {
		if (ends_with(entries[i]->d_name, end)) {
			names[made++] = text_copy(entries[i]->d_name);
			names = array_room(names, made, sizeof(*names));
		}
		free(entries[i]);
	}
	free(entries);
	free(full);
	return names;
}

static void free_names(char **names)
{
	for (size_t i = 0; names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

static void add_folder(
	const struct reader *reader, const char *folder, const char *end, char **list)
{
	char **names = names_in(reader, folder, end);

	for (size_t i = 0; names[i] != NULL; i++) {
		char *path = text_format("%s/%s", folder, names[i]);

		add_file(reader, path, list);
		free(path);
	}
	free_names(names);
}

static bool is_there(const struct reader *reader, const char *path)
{
	char *full = text_format("%s%s", reader->root, path);
	bool found = access(full, F_OK) == 0;

	free(full);
	return found;
}

/* Whether a service is enabled: some folder TARGET.wants has a link of its name. It may lead nowhere. */
static bool is_enabled(const struct reader *reader, const char *service)
{
	char **targets = names_in(reader, "/etc/systemd/system", ".wants");
	bool found = false;

	for (size_t i = 0; !found && targets[i] != NULL; i++) {
		char *link = text_format(
			"%s/etc/systemd/system/%s/%s.service", reader->root, targets[i], service);
		char to[8];

		found = readlink(link, to, sizeof(to)) != -1;
		free(link);
	}
	free_names(targets);
	return found;
}

/* Whether a line of TEXT sets KEY to something that means no. */
static bool is_off(const char *text, const char *key)
{
	static const char *const words[] = {"no", "false", "off", "0", "n", "f"};
	bool off = false;

	for (char *line; text != NULL && (line = text_line(&text)) != NULL; free(line)) {
		size_t length = strlen(key);

		if (strncmp(line, key, length) != 0 || line[length] != '=')
			continue;
		off = false;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			off |= strcasecmp(line + length + 1, words[i]) == 0;
	}
	return off;
}

/* Blanks around a sign of equality do not count in systemd's files (systemd.syntax(7)): removes them. NULL is allowed. */
static void remove_blanks(char *text)
{
	char *to = text;

	for (const char *from = text; from != NULL && *from != '\0'; from++) {
		if (*from == '=')
			while (to > text && (to[-1] == ' ' || to[-1] == '\t'))
				to--;
		else if ((*from == ' ' || *from == '\t') && to > text && to[-1] == '=')
			continue;
		*to++ = *from;
	}
	if (text != NULL)
		*to = '\0';
}

static void read_networkd(const struct reader *reader)
{
	struct boot *boot = reader->boot;
	char *text = NULL;

	add_file(reader, "/etc/systemd/networkd.conf", &text);
	add_folder(reader, "/usr/lib/systemd/networkd.conf.d", ".conf", &text);
	add_folder(reader, "/etc/systemd/networkd.conf.d", ".conf", &text);
	remove_blanks(text);
	boot->networkd = is_there(reader, "/run/systemd/netif");
	boot->deletes_rules = boot->networkd && !is_off(text, "ManageForeignRoutingPolicyRules");
	boot->deletes_routes = boot->networkd && !is_off(text, "ManageForeignRoutes");
	free(text);
	add_folder(reader, "/etc/systemd/network", ".network", &boot->network);
	remove_blanks(boot->network);
}

static void read_packet_rules(const struct reader *reader)
{
	char **list = &reader->boot->packet_rules;

	if (is_enabled(reader, "nftables")) {
		add_file(reader, "/etc/nftables.conf", list);
		add_folder(reader, "/etc/nftables.d", ".nft", list);
		add_folder(reader, "/etc/nftables", ".nft", list);
	}
	if (is_enabled(reader, "netfilter-persistent")) {
		add_file(reader, "/etc/iptables/rules.v4", list);
		add_file(reader, "/etc/iptables/rules.v6", list);
	}
	if (is_enabled(reader, "iptables"))
		add_file(reader, "/etc/sysconfig/iptables", list);
}

/* --- sysctls --- */

/* A copy of TEXT with other separators, to be freed. */
static char *separated(const char *text, char from, char to)
{
	char *copy = text_copy(text);

	for (char *at = copy; (at = strchr(at, from)) != NULL;)
		*at = to;
	return copy;
}

/* Adds what a file sets: "NAME=VALUE FILE", names with dots. Without a value: no pattern sets it ("-NAME"). */
static void add_sysctls(const struct reader *reader, const char *path)
{
	char *text = read_text(reader, path);
	const char *at = text;

	for (char *line; at != NULL && (line = text_line(&at)) != NULL; free(line)) {
		char name[128], value[64] = "", *dotted;
		const char *start = line + strspn(line, " \t");
		bool left_out = *start == '-' && strchr(start, '=') == NULL;

		start += *start == '-';
		if (*start == '#' || *start == ';' ||
			sscanf(start, "%127[^= \t] = %63s", name, value) != (left_out ? 1 : 2))
			continue;
		dotted = separated(name, '/', '.');
		text_add(&reader->boot->sysctls, "%s=%s %s\n", dotted, value, path);
		free(dotted);
	}
	free(text);
}

static const char *const sysctl_folders[] = {
	"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"};

/* The path of a file of sysctl.d in the first folder that has it. */
static char *sysctl_file(const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < sizeof(sysctl_folders) / sizeof(sysctl_folders[0]); i++) {
		char *path = text_format("%s/%s", sysctl_folders[i], name);

		if (is_there(reader, path))
			return path;
		free(path);
	}
	return NULL;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_sysctls(const struct reader *reader)
{
	char **all = NULL;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(sysctl_folders) / sizeof(sysctl_folders[0]); i++) {
		char **names = names_in(reader, sysctl_folders[i], ".conf");

		for (size_t j = 0; names[j] != NULL; j++) {
			all = array_room(all, count, sizeof(*all));
			all[count++] = names[j];
		}
		free(names);
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), compare_names);
	for (size_t i = 0; i < count; i++) {
		char *path = i == 0 || strcmp(all[i], all[i - 1]) != 0 ? sysctl_file(reader, all[i])
								       : NULL;

		if (path != NULL)
			add_sysctls(reader, path);
		free(path);
	}
	for (size_t i = 0; i < count; i++)
		free(all[i]);
	free(all);
	add_sysctls(reader, "/etc/sysctl.conf"); /* procps reads it last */
}

void boot_read(struct boot *boot, const char *root)
{
	struct reader reader = {boot, root};

	*boot = (struct boot){0};
	boot->service = is_enabled(&reader, "tproxyctl");
	boot->firewalld = is_enabled(&reader, "firewalld");
	boot->docker = is_enabled(&reader, "docker");
	read_networkd(&reader);
	add_file(&reader, "/etc/network/interfaces", &boot->network);
	add_folder(&reader, "/etc/network/interfaces.d", "", &boot->network);
	add_folder(
		&reader, "/etc/NetworkManager/system-connections", ".nmconnection", &boot->network);
	read_packet_rules(&reader);
	read_sysctls(&reader);
	boot->known = *boot->unreadable == '\0';
}

void boot_free(struct boot *boot)
{
	free(boot->network);
	free(boot->packet_rules);
	free(boot->sysctls);
	*boot = (struct boot){0};
}

/* --- what is in them --- */

/* Whether the number behind KEY, somewhere in LINE, is NUMBER; a mask may follow. */
static bool has_number(const char *line, const char *key, uint32_t number)
{
	for (const char *at = line; (at = strstr(at, key)) != NULL; at++) {
		const char *digits = at + strlen(key);
		char *end;
		unsigned long read = strtoul(digits, &end, 0);

		if (end != digits && read == number && strchr(" \t/,", *end) != NULL)
			return true;
	}
	return false;
}

/* Whether TEXT has ADDRESS as a word, not as a part of a longer one. */
static bool has_address(const char *text, const char *address)
{
	static const char of_addresses[] = "0123456789abcdefABCDEF.:";
	size_t length = strlen(address);

	for (const char *at = text; (at = strstr(at, address)) != NULL; at++) {
		bool begins = at == text || strchr(of_addresses, at[-1]) == NULL;

		if (begins && (at[length] == '\0' || strchr(of_addresses, at[length]) == NULL))
			return true;
	}
	return false;
}

static bool is_comment(const char *line)
{
	line += strspn(line, " \t");
	return *line == '#' || *line == ';';
}

bool boot_makes_rule(const struct boot *boot, uint32_t mark)
{
	const char *at = boot->network;
	bool found = false;

	for (char *line; at != NULL && !found && (line = text_line(&at)) != NULL; free(line))
		found = !is_comment(line) && (has_number(line, "fwmark ", mark) ||
						     has_number(line, "FirewallMark=", mark));
	return found;
}

/* What a route is looked for by, and what the lines before said. */
struct wanted_route {
	unsigned table;
	const char *address;
	bool local, here; /* of this section of networkd's */
	char network[64]; /* NetworkManager's: of the line `route1=` */
};

/* A section of networkd's: "Type=local" and "Table=100", or "Destination=192.0.2.80/32". */
static bool networkd_makes_route(struct wanted_route *wanted, const char *line)
{
	if (*line == '[')
		wanted->local = wanted->here = false;
	wanted->local |= strcmp(line, "Type=local") == 0;
	wanted->here |= wanted->table == TABLE_LOCAL ? strncmp(line, "Destination=", 12) == 0 &&
							       has_address(line, wanted->address)
						     : has_number(line, "Table=", wanted->table);
	return wanted->local && wanted->here;
}

/* NetworkManager's two lines: "route1=192.0.2.80/32" and "route1_options=table=100,type=local". */
static bool networkmanager_makes_route(struct wanted_route *wanted, const char *line)
{
	unsigned number;

	if (sscanf(line, "route%u=%63s", &number, wanted->network) == 2)
		return false;
	return strncmp(line, "route", 5) == 0 && strstr(line, "_options=") != NULL &&
	       strstr(line, "type=local") != NULL && has_number(line, "table=", wanted->table) &&
	       (wanted->table != TABLE_LOCAL || has_address(wanted->network, wanted->address));
}

/* A command: "ip route add local 0.0.0.0/0 dev lo table 100". */
static bool command_makes_route(const struct wanted_route *wanted, const char *line)
{
	return strstr(line, " local ") != NULL &&
	       (wanted->table == TABLE_LOCAL ? has_address(line, wanted->address)
					     : has_number(line, "table ", wanted->table));
}

bool boot_makes_route(const struct boot *boot, unsigned table, const char *address)
{
	struct wanted_route wanted = {.table = table, .address = address};
	const char *at = boot->network;
	bool found = false;

	for (char *line; at != NULL && !found && (line = text_line(&at)) != NULL; free(line))
		found = !is_comment(line) && (networkd_makes_route(&wanted, line) ||
						     networkmanager_makes_route(&wanted, line) ||
						     command_makes_route(&wanted, line));
	return found;
}

bool boot_names_address(const struct boot *boot, const char *address)
{
	return boot->network != NULL && has_address(boot->network, address);
}

bool boot_makes_packet_rule(const struct boot *boot, const char *text)
{
	return boot->packet_rules != NULL && strstr(boot->packet_rules, text) != NULL;
}

/* Whether PATTERN, as in "net.ipv4.conf.*.rp_filter", has NAME. */
static bool pattern_has(const char *pattern, const char *name)
{
	char *wanted = separated(pattern, '.', '/'), *path = separated(name, '.', '/');
	bool has = fnmatch(wanted, path, FNM_PATHNAME) == 0;

	free(wanted);
	free(path);
	return has;
}

char *boot_sysctl(const struct boot *boot, const char *name, const char **file)
{
	const char *at = boot->sysctls;
	bool by_name = false;
	char *found = NULL;

	for (char *line; at != NULL && (line = text_line(&at)) != NULL; free(line)) {
		char *value = strchr(line, '=');
		bool named;

		*value++ = '\0';
		named = strcmp(line, name) == 0;
		if (!named && (by_name || !pattern_has(line, name)))
			continue;
		by_name |= named;
		free(found);
		found = *value == ' ' ? NULL : text_copy(value);
	}
	if (found != NULL) {
		char *blank = strchr(found, ' ');

		*blank = '\0';
		*file = blank + 1;
	}
	return found;
}

/*
 * Reads counters of dropped packets from /proc/net, which is that of the process's own network namespace.
 *
 * IPv4's and TCP's counters come in two lines a group, names and values. IPv6's come in a line each. Martian sources
 * are counted by the routing cache's table, in hexadecimal, with a line for each processor.
 */
#include "counters.h"
#include "tproxy/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MAX = 1 << 16
};

/* GROUP NULL: a line of its own in snmp6; "": a column of rt_cache. */
static const struct {
	const char *group, *name, *meaning;
} rows[COUNTERS] = {
	{"TcpExt", "IPReversePathFilter", "dropped by rp_filter"},
	{"TcpExt", "ListenOverflows", "the listener's queue was full"},
	{"TcpExt", "ListenDrops", "dropped by a listener"},
	{"TcpExt", "TCPReqQFullDrop", "the queue of requests was full"},
	{"IpExt", "InNoRoutes", "no route for an incoming packet"},
	{"Ip", "OutNoRoutes", "no route for a packet of this host"},
	{"Ip", "InAddrErrors", "not for this host, and it does not forward"},
	{"Ip", "InDiscards", "dropped without an error"},
	{"", "in_martian_src", "a source that counts as this host's own"},
	{NULL, "Ip6InNoRoutes", "no route for an incoming packet"},
	{NULL, "Ip6OutNoRoutes", "no route for a packet of this host"},
	{NULL, "Ip6InAddrErrors", "not for this host, and it does not forward"},
};

/* What is in a file of /proc/net, to be freed; "" where there is none. */
static char *read_file(const char *name)
{
	char *path = text_format("/proc/net/%s", name), *text = calloc(1, TEXT_MAX);
	FILE *file = fopen(path, "re");

	if (text == NULL)
		abort(); /* out of memory */
	if (file != NULL) {
		text[fread(text, 1, TEXT_MAX - 1, file)] = '\0';
		fclose(file);
	}
	free(path);
	return text;
}

/* The word number PLACE of a line; NULL: there are fewer. */
static const char *word_at(const char *line, size_t place)
{
	for (line += strspn(line, " "); place > 0 && *line != '\0'; place--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return *line != '\0' ? line : NULL;
}

static bool begins_with_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	return strncmp(text, word, length) == 0 &&
	       (text[length] == '\0' || text[length] == ' ' || text[length] == '\t');
}

/* The place of the word NAME in a line, or -1. */
static int place_of(const char *line, const char *name)
{
	const char *word;

	for (size_t place = 0; (word = word_at(line, place)) != NULL; place++)
		if (begins_with_word(word, name))
			return (int)place;
	return -1;
}

unsigned long long counters_find(const char *text, const char *group, const char *name)
{
	size_t length = strlen(group);
	unsigned long long value = 0;
	int place = -1;

	for (char *line; (line = text_line(&text)) != NULL; free(line)) {
		if (strncmp(line, group, length) != 0 || line[length] != ':')
			continue;
		if (place == -1)
			place = place_of(line, name);
		else {
			const char *word = word_at(line, (size_t)place);

			value = word != NULL ? strtoull(word, NULL, 10) : 0;
			place = -1;
		}
	}
	return value;
}

/* A column of rt_cache, summed for all processors. */
static unsigned long long find_column(const char *text, const char *name)
{
	unsigned long long sum = 0;
	int place = -1;

	for (char *line; (line = text_line(&text)) != NULL; free(line)) {
		const char *word = place >= 0 ? word_at(line, (size_t)place) : NULL;

		if (word != NULL)
			sum += strtoull(word, NULL, 16);
		else if (place == -1)
			place = place_of(line, name);
	}
	return sum;
}

/* A line of snmp6. */
static unsigned long long find_line(const char *text, const char *name)
{
	unsigned long long value = 0;

	for (char *line; (line = text_line(&text)) != NULL; free(line))
		if (begins_with_word(line, name))
			value = strtoull(line + strlen(name), NULL, 10);
	return value;
}

void counters_read(struct counters *counters)
{
	char *netstat = read_file("netstat"), *snmp = read_file("snmp"),
	     *snmp6 = read_file("snmp6"), *cache = read_file("stat/rt_cache");

	for (size_t i = 0; i < COUNTERS; i++) {
		const char *group = rows[i].group, *name = rows[i].name;

		if (group == NULL)
			counters->values[i] = find_line(snmp6, name);
		else if (*group == '\0')
			counters->values[i] = find_column(cache, name);
		else
			counters->values[i] = counters_find(
				strcmp(group, "Ip") == 0 ? snmp : netstat, group, name);
	}
	free(netstat);
	free(snmp);
	free(snmp6);
	free(cache);
}

char *counters_moved(const struct counters *before, const struct counters *after)
{
	char *text = NULL;

	for (size_t i = 0; i < COUNTERS; i++)
		if (after->values[i] > before->values[i])
			text_add(&text, "%s%s %llu (%s)", text != NULL ? ", " : "", rows[i].name,
				after->values[i] - before->values[i], rows[i].meaning);
	return text;
}

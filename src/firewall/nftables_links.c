/*
 * The links of chains at INGRESS, from `nft list chains`:
 *
 *     table netdev f {
 *             chain in {
 *                     type filter hook ingress device "eth0" priority filter; policy accept;
 *
 * Several links are `devices = { "eth0", "eth1" }`. Only these lines are looked at, and each name in quotes of the
 * last one is a link.
 */
#include "ruleset.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ruleset_lacks_links(const struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->base_count; i++)
		if (ruleset->bases[i].chain->hook == HOOK_INGRESS &&
			ruleset->bases[i].chain->links == NULL)
			return true;
	return false;
}

static struct chain *find_chain(
	struct ruleset *ruleset, const char *family, const char *table, const char *chain)
{
	bool netdev = strcmp(family, "netdev") == 0;

	for (size_t i = 0; i < ruleset->table_count; i++) {
		struct table *each = &ruleset->tables[i];

		if (each->tool == TOOL_NFT && each->family == AF_UNSPEC && each->netdev == netdev &&
			strcmp(each->name, table) == 0)
			return ruleset_chain(each, chain);
	}
	return NULL;
}

/* The words in quotes, with blanks between them; NULL: there are none. */
static char *quoted_words(const char *line)
{
	char *words = NULL;

	while ((line = strchr(line, '"')) != NULL) {
		size_t length = strcspn(++line, "\"");

		text_add(&words, "%s%.*s", words != NULL ? " " : "", (int)length, line);
		line += length + (line[length] == '"');
	}
	return words;
}

void ruleset_parse_nft_links(struct ruleset *ruleset, const char *text)
{
	char family[16] = "", table[128] = "", name[128] = "";

	for (char *line; (line = text_line(&text)) != NULL; free(line)) {
		struct chain *chain;

		if (sscanf(line, " table %15s %127s {", family, table) == 2 ||
			sscanf(line, " chain %127s {", name) == 1 ||
			strstr(line, "hook ingress device") == NULL)
			continue;
		chain = find_chain(ruleset, family, table, name);
		if (chain != NULL && chain->hook == HOOK_INGRESS && chain->links == NULL)
			chain->links = quoted_words(line);
	}
}

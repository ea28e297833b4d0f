/*
 * Our rules on the host; see the header.
 *
 * Traps: iptables' nft backend makes a table and base chains as a side effect, which are taken away again
 * when they were not there before and hold nothing. Only nft can do that: iptables itself deletes no table,
 * so without nft it is told. iptables-legacy registers its table with the kernel
 * for good; nothing takes that back but unloading the module, which other namespaces may be using.
 */
#include "tproxy/firewall.h"
#include "tproxy/command.h"
#include "tproxy/facts.h"
#include "tproxy/json_word.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_six(const json_t *step)
{
	return strcmp(json_word(step, "family"), "ipv6") == 0;
}

static const char *nft_family(const json_t *step)
{
	return is_six(step) ? "ip6" : "ip";
}

static bool is_nft(const json_t *step)
{
	return strcmp(json_word(step, "backend"), "nft") == 0;
}

/* "ip6tables-legacy" and the like, with what follows it. */
static char *program(const json_t *step, const char *rest)
{
	bool legacy = strcmp(json_word(step, "backend"), "iptables-legacy") == 0;

	return text_format(
		"%s%s%s", is_six(step) ? "ip6tables" : "iptables", legacy ? "-legacy" : "", rest);
}

/* Runs a line (freed); its output to *OUT where that is not NULL. */
static bool run(char *line, const char *input, char **out, char **problem)
{
	struct command_result result;
	bool well = command_line(line, input, &result);

	if (!well)
		*problem = text_format(
			"`%s` failed (status %d): %s", line, result.status, result.errors);
	else if (out != NULL)
		*out = text_format("%s", result.out);
	command_free(&result);
	free(line);
	return well;
}

/* The same for a line whose output is a listing, which has to be WHOLE. */
static bool list(char *line, bool (*whole)(const char *), char **out, char **problem)
{
	char *name = text_format("%s", line);
	bool well = run(line, NULL, out, problem);

	if (well && !whole(*out)) {
		*problem = text_format("what `%s` writes is cut off", name);
		free(*out);
		*out = NULL;
		well = false;
	}
	free(name);
	return well;
}

bool firewall_save_is_whole(const char *save)
{
	bool open = false;

	for (char *line; (line = text_line(&save)) != NULL; free(line)) {
		if (*line == '*')
			open = true;
		else if (strcmp(line, "COMMIT") == 0)
			open = false;
	}
	return !open;
}

bool firewall_table_is_whole(const char *text)
{
	size_t length = strlen(text);

	return length > 3 && strcmp(text + length - 3, "\n}\n") == 0;
}

static bool is_json(const char *text)
{
	json_t *root = json_loads(text, 0, NULL);
	bool well = json_is_array(json_object_get(root, "nftables"));

	json_decref(root);
	return well;
}

static bool is_absent(const char *problem)
{
	return strstr(problem, "No such file or directory") != NULL;
}

/* The table mangle as JSON; true and NULL where it is not there. */
static bool list_mangle(const json_t *step, char **listing, char **problem)
{
	if (list(text_format("nft -j list table %s mangle", nft_family(step)), is_json, listing,
		    problem))
		return true;
	if (!is_absent(*problem))
		return false;
	free(*problem);
	*problem = NULL;
	return true;
}

static json_t *nft_part(const json_t *entry, const char *kind)
{
	return json_object_get(entry, kind);
}

/* The names of the chains in a listing. */
static json_t *chains_of(const char *listing)
{
	json_t *made = json_array(), *root = json_loads(listing, 0, NULL), *entry;
	size_t i;

	for (i = 0; (entry = json_array_get(json_object_get(root, "nftables"), i)) != NULL; i++)
		if (nft_part(entry, "chain") != NULL)
			json_array_append_new(
				made, json_string(json_word(nft_part(entry, "chain"), "name")));
	json_decref(root);
	return made;
}

/* Notes the chains of the table mangle, or null where there is no such table. */
static bool look_by_nft(json_t *step, char **problem)
{
	char *listing = NULL;

	if (!list_mangle(step, &listing, problem))
		return false;
	json_object_set_new(
		step, "chains_before", listing != NULL ? chains_of(listing) : json_null());
	free(listing);
	return true;
}

/* Without nft: null where the table is not there. Which chains a table has, iptables does not tell. */
static bool look_by_iptables(json_t *step, char **problem)
{
	char *save = NULL, *mangle;

	if (!list(program(step, "-save"), firewall_save_is_whole, &save, problem))
		return false;
	mangle = firewall_mangle_of_save(save);
	if (mangle == NULL)
		json_object_set_new(step, "chains_before", json_null());
	free(mangle);
	free(save);
	return true;
}

static bool is_registered(const json_t *step)
{
	FILE *file = fopen(
		is_six(step) ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", "re");
	char line[64];
	bool found = false;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		found |= strcmp(line, "mangle\n") == 0;
	if (file != NULL)
		fclose(file);
	return found;
}

bool firewall_prepare(json_t *step, char **problem)
{
	char *version = NULL;
	bool well = true;

	if (is_nft(step))
		return true;
	if (!run(program(step, " -V"), NULL, &version, problem))
		return false;
	if (strstr(version, "nf_tables") == NULL)
		json_object_set_new(step, "registers", json_boolean(!is_registered(step)));
	else
		well = command_exists("nft") ? look_by_nft(step, problem)
					     : look_by_iptables(step, problem);
	free(version);
	return well;
}

bool firewall_load(json_t *step, char **problem)
{
	char *ours;

	if (!run(text_format("%s", json_word(step, "run")), json_word(step, "input"), NULL,
		    problem))
		return false;
	ours = firewall_ours(step, problem);
	if (ours == NULL)
		return false;
	json_object_set_new(step, "seen", json_string(ours));
	free(ours);
	return true;
}

static bool has_our_comment(const char *line)
{
	const char *at = strstr(line, "--comment " OUR_NAME);

	return at != NULL && strchr(" ", at[strlen("--comment " OUR_NAME)]) != NULL;
}

static bool names_our_chain(const char *line)
{
	for (const char *at = line; (at = strstr(at, OUR_CHAIN)) != NULL; at++)
		if (at > line && strchr(" :", at[-1]) != NULL &&
			strchr(" ", at[strlen(OUR_CHAIN)]) != NULL)
			return true;
	return false;
}

/* The lines of the table mangle, or NULL where it is not there. */
char *firewall_mangle_of_save(const char *save)
{
	char *lines = NULL;
	bool mangle = false;

	for (char *line; (line = text_line(&save)) != NULL; free(line)) {
		if (*line == '*') {
			mangle = strcmp(line, "*mangle") == 0;
			if (mangle)
				text_add(&lines, "%s", "");
		} else if (mangle && *line != '#')
			text_add(&lines, "%s\n", line);
	}
	return lines;
}

char *firewall_of_save(const char *save)
{
	char *ours = text_format("%s", ""), *mangle = firewall_mangle_of_save(save);
	const char *at = mangle != NULL ? mangle : "";

	for (char *line; (line = text_line(&at)) != NULL; free(line))
		if (has_our_comment(line) || names_our_chain(line))
			text_add(&ours, "%s\n", line);
	free(mangle);
	return ours;
}

char *firewall_ours(const json_t *step, char **problem)
{
	char *text = NULL, *ours;

	if (!is_nft(step)) {
		if (!list(program(step, "-save"), firewall_save_is_whole, &text, problem))
			return NULL;
		ours = firewall_of_save(text);
		free(text);
		return ours;
	}
	if (list(text_format("nft -a list table %s " OUR_NAME, nft_family(step)),
		    firewall_table_is_whole, &text, problem))
		return text;
	if (!is_absent(*problem))
		return NULL;
	free(*problem);
	*problem = NULL;
	return text_format("%s", "");
}

static char *iptables_removal(const char *ours, char **left)
{
	char *text = text_format("*mangle\n");
	bool chain = false;

	for (char *line; (line = text_line(&ours)) != NULL; free(line)) {
		if (*line == ':')
			chain = true;
		else if (has_our_comment(line))
			text_add(&text, "-D%s\n", line + 2);
		else
			text_add(left, "%s\n", line);
	}
	if (chain && *left == NULL)
		text_add(&text, "-X " OUR_CHAIN "\n");
	text_add(&text, "COMMIT\n");
	return text;
}

/* What belongs to the frame of our table: its braces, its chain and the chain's hook. */
static bool is_frame(const char *words)
{
	return *words == '\0' || *words == '}' || strncmp(words, "type filter hook ", 17) == 0 ||
	       strncmp(words, "table ", 6) == 0 || strncmp(words, "chain divert {", 14) == 0;
}

static char *nft_removal(const char *ours, const char *family, char **left)
{
	char *text = text_format("%s", "");

	for (char *line; (line = text_line(&ours)) != NULL; free(line)) {
		const char *words = line + strspn(line, "\t ");
		const char *handle = strstr(line, "# handle ");

		if (is_frame(words))
			continue;
		if (strstr(line, "comment \"" OUR_NAME "\"") != NULL && handle != NULL)
			text_add(&text, "delete rule %s " OUR_NAME " divert handle %s\n", family,
				handle + strlen("# handle "));
		else
			text_add(left, "%s\n", words);
	}
	if (*left == NULL) {
		free(text);
		text = text_format("delete table %s " OUR_NAME "\n", family);
	}
	return text;
}

char *firewall_removal(const char *ours, bool nft, const char *family, char **left)
{
	*left = NULL;
	return nft ? nft_removal(ours, family, left) : iptables_removal(ours, left);
}

bool firewall_unload(const json_t *step, const char *ours, char **left, char **problem)
{
	char *input = firewall_removal(ours, is_nft(step), nft_family(step), left);
	char *line =
		is_nft(step) ? text_format("nft -f -") : program(step, "-restore -w 10 --noflush");
	bool well = run(line, input, NULL, problem);

	free(input);
	return well;
}

static bool was_there(const json_t *before, const char *chain)
{
	const json_t *name;
	size_t i;

	for (i = 0; (name = json_array_get(before, i)) != NULL; i++)
		if (strcmp(json_string_value(name), chain) == 0)
			return true;
	return false;
}

/* Whether a rule, a policy or anything else than being there makes a chain worth keeping. */
static bool is_in_use(const json_t *list, const json_t *chain)
{
	const json_t *entry;
	size_t i;

	if (strcmp(json_word(chain, "policy"), "accept") != 0)
		return true;
	for (i = 0; (entry = json_array_get(list, i)) != NULL; i++)
		if (strcmp(json_word(nft_part(entry, "rule"), "chain"), json_word(chain, "name")) ==
			0)
			return true;
	return false;
}

char *firewall_cleaning(const json_t *before, const char *listing, const char *family)
{
	json_t *root = json_loads(listing, 0, NULL), *entry;
	const json_t *list = json_object_get(root, "nftables");
	char *text = text_format("%s", "");
	size_t i, kept = 0;

	for (i = 0; (entry = json_array_get(list, i)) != NULL; i++) {
		const json_t *chain = nft_part(entry, "chain");

		if (chain != NULL && !was_there(before, json_word(chain, "name")) &&
			!is_in_use(list, chain))
			text_add(&text, "delete chain %s mangle %s\n", family,
				json_word(chain, "name"));
		else if (nft_part(entry, "metainfo") == NULL && nft_part(entry, "table") == NULL)
			kept++;
	}
	if (json_is_null(before) && json_is_array(list) && kept == 0)
		text_add(&text, "delete table %s mangle\n", family);
	json_decref(root);
	return text;
}

/* Whether a chain of iptables' own in the table mangle has a rule; with NULL also any other chain counts. */
static bool is_used(const char *mangle, const char *chain)
{
	bool found = false;

	for (char *line; (line = text_line(&mangle)) != NULL; free(line)) {
		char name[32] = "";

		if (sscanf(line, "-A %31s", name) == 1)
			found |= chain == NULL || strcmp(name, chain) == 0;
		else
			found |= chain == NULL && *line == ':' && strstr(line, " - [") != NULL;
	}
	return found;
}

/* Says what has to be taken away by nft, once there is one. */
static bool keep(const json_t *step, const json_t *before, char **kept, char **problem)
{
	static const char form[] =
		"without the program nft %s of iptables stays, empty; with it, `nft delete %s %s "
		"mangle%s` takes it away";
	bool table = json_is_null(before);
	char *save = NULL, *mangle;

	if (!list(program(step, "-save"), firewall_save_is_whole, &save, problem))
		return false;
	mangle = firewall_mangle_of_save(save);
	if (mangle != NULL && table && !is_used(mangle, NULL))
		*kept = text_format(form, "the table mangle", "table", nft_family(step), "");
	else if (mangle != NULL && !was_there(before, "PREROUTING") &&
		 !is_used(mangle, "PREROUTING"))
		*kept = text_format(form, "the chain PREROUTING in the table mangle", "chain",
			nft_family(step), " PREROUTING");
	free(mangle);
	free(save);
	return true;
}

bool firewall_clean(const json_t *step, char **kept, char **problem)
{
	const json_t *before = json_object_get(step, "chains_before");
	char *listing = NULL, *input;
	bool well = true;

	if (before == NULL)
		return true;
	if (!command_exists("nft"))
		return keep(step, before, kept, problem);
	if (!list_mangle(step, &listing, problem))
		return false;
	if (listing == NULL)
		return true;
	input = firewall_cleaning(before, listing, nft_family(step));
	if (*input != '\0')
		well = run(text_format("nft -f -"), input, NULL, problem);
	free(input);
	free(listing);
	return well;
}

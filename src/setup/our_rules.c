/*
 * Lists, loads and removes our rules.
 *
 * Traps: iptables that writes nftables rules creates a table and base chains as a side effect. They are
 * removed again if they were not there before and hold nothing. Only nft can do that, because iptables cannot
 * delete a table; without nft the leftover is reported. iptables-legacy registers its table with the kernel
 * for good: only unloading the module would remove it, and other network namespaces may use that.
 */
#include "our_rules.h"
#include "tproxy/json.h"
#include "tproxy/json_list.h"
#include "tproxy/names.h"
#include "tproxy/subprocess.h"
#include "tproxy/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *nft_family(const struct step *step)
{
	return step->family == AF_INET6 ? "ip6" : "ip";
}

char *our_rules_loader(const struct step *step)
{
	return text_format("%s %s", firewall_tool_restore(step->tool, step->family),
		step->tool == TOOL_NFT ? "-f -" : "-w 10 --noflush");
}

/* Runs LINE, which is freed; *OUT (or NULL) gets its output, to be freed. */
static bool run_tool(char *line, const char *input, char **out, char **problem)
{
	struct subprocess_result result;
	bool well = subprocess_run_line(line, input, &result);

	if (!well)
		*problem = text_format(
			"`%s` failed (status %d): %s", line, result.status, result.errors);
	else if (out != NULL)
		*out = text_copy(result.out);
	subprocess_free(&result);
	free(line);
	return well;
}

/* The same for a line that prints a listing, which has to be WHOLE. */
static bool read_listing(char *line, bool (*whole)(const char *), char **out, char **problem)
{
	char *name = text_copy(line);
	bool well = run_tool(line, NULL, out, problem);

	if (well && !whole(*out)) {
		*problem = text_format("the output of `%s` is cut off", name);
		free(*out);
		*out = NULL;
		well = false;
	}
	free(name);
	return well;
}

bool our_rules_save_is_whole(const char *save)
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

static bool read_save(const struct step *step, char **save, char **problem)
{
	return read_listing(text_copy(firewall_tool_save(step->tool, step->family)),
		our_rules_save_is_whole, save, problem);
}

bool our_rules_table_is_whole(const char *text)
{
	size_t length = strlen(text);

	return length > 3 && strcmp(text + length - 3, "\n}\n") == 0;
}

static bool accept_object(void *context, json_t *object)
{
	(void)context;
	(void)object;
	return true;
}

/* Whether TEXT is a whole listing of `nft -j`. */
static bool is_json(const char *text)
{
	char *problem = NULL;
	bool well = json_list_read(text, "nftables", accept_object, NULL, &problem);

	free(problem);
	return well;
}

/* Whether nft says that a table does not exist. ld.so has the same message for a library. */
static bool is_absent(const char *problem)
{
	return strstr(problem, "(status 1): ") != NULL && strstr(problem, "Error: ") != NULL &&
	       strstr(problem, "No such file or directory") != NULL;
}

/* The table mangle as JSON; true and NULL where there is none. */
static bool list_mangle(const struct step *step, char **listing, char **problem)
{
	if (read_listing(text_format("nft -j list table %s mangle", nft_family(step)), is_json,
		    listing, problem))
		return true;
	if (!is_absent(*problem))
		return false;
	free(*problem);
	*problem = NULL;
	return true;
}

static bool add_chain_name(void *names, json_t *object)
{
	const json_t *chain = json_object_get(object, "chain");

	if (chain != NULL)
		json_array_append_new(names, json_string(json_text(chain, "name")));
	return true;
}

/* The names of the chains in a listing, which is whole. */
static json_t *chains_of(const char *listing)
{
	json_t *made = json_array();
	char *problem = NULL;

	json_list_read(listing, "nftables", add_chain_name, made, &problem);
	free(problem);
	return made;
}

/* Notes the chains of the table mangle, or null where there is no such table. */
static bool note_chains_by_nft(struct step *step, char **problem)
{
	char *listing = NULL;

	if (!list_mangle(step, &listing, problem))
		return false;
	step->chains_before = listing != NULL ? chains_of(listing) : json_null();
	free(listing);
	return true;
}

/* Without nft: null where there is no such table. iptables does not say which chains a table has. */
static bool note_chains_by_iptables(struct step *step, char **problem)
{
	char *save = NULL, *mangle;

	if (!read_save(step, &save, problem))
		return false;
	mangle = our_rules_mangle_of_save(save);
	if (mangle == NULL)
		step->chains_before = json_null();
	free(mangle);
	free(save);
	return true;
}

static bool is_registered(const struct step *step)
{
	FILE *file = fopen(step->family == AF_INET6 ? "/proc/net/ip6_tables_names"
						    : "/proc/net/ip_tables_names",
		"re");
	char line[64];
	bool found = false;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		found |= strcmp(line, "mangle\n") == 0;
	if (file != NULL)
		fclose(file);
	return found;
}

bool our_rules_prepare(struct step *step, char **problem)
{
	char *version = NULL;
	bool well = true;

	if (step->tool == TOOL_NFT)
		return true;
	if (!run_tool(text_format("%s -V", firewall_tool_program(step->tool, step->family)), NULL,
		    &version, problem))
		return false;
	if (strstr(version, "nf_tables") == NULL)
		step->registers = !is_registered(step);
	else
		well = subprocess_exists("nft") ? note_chains_by_nft(step, problem)
						: note_chains_by_iptables(step, problem);
	free(version);
	return well;
}

bool our_rules_load(struct step *step, char **problem)
{
	if (!run_tool(our_rules_loader(step), step->input, NULL, problem))
		return false;
	free(step->seen);
	step->seen = our_rules_list(step, problem);
	return step->seen != NULL;
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
char *our_rules_mangle_of_save(const char *save)
{
	struct text_stream lines;
	bool mangle = false, seen = false;
	char *text;

	text_begin(&lines);
	for (char *line; (line = text_line(&save)) != NULL; free(line)) {
		if (*line == '*') {
			mangle = strcmp(line, "*mangle") == 0;
			seen |= mangle;
		} else if (mangle && *line != '#')
			fprintf(lines.out, "%s\n", line);
	}
	text = text_end(&lines);
	if (seen)
		return text;
	free(text);
	return NULL;
}

char *our_rules_of_save(const char *save)
{
	char *mangle = our_rules_mangle_of_save(save);
	const char *at = mangle != NULL ? mangle : "";
	struct text_stream ours;

	text_begin(&ours);
	for (char *line; (line = text_line(&at)) != NULL; free(line))
		if (has_our_comment(line) || names_our_chain(line))
			fprintf(ours.out, "%s\n", line);
	free(mangle);
	return text_end(&ours);
}

char *our_rules_list(const struct step *step, char **problem)
{
	char *text = NULL, *ours;

	if (step->tool != TOOL_NFT) {
		if (!read_save(step, &text, problem))
			return NULL;
		ours = our_rules_of_save(text);
		free(text);
		return ours;
	}
	if (read_listing(text_format("nft -a list table %s " OUR_NAME, nft_family(step)),
		    our_rules_table_is_whole, &text, problem))
		return text;
	if (!is_absent(*problem))
		return NULL;
	free(*problem);
	*problem = NULL;
	return text_format("%s", "");
}

/* The lines of a stream, or NULL where there are none. */
static char *lines_of(struct text_stream *stream)
{
	char *text = text_end(stream);

	if (*text != '\0')
		return text;
	free(text);
	return NULL;
}

static char *iptables_removal(const char *ours, char **left)
{
	struct text_stream text, others;
	bool chain = false;

	text_begin(&text);
	text_begin(&others);
	fputs("*mangle\n", text.out);
	for (char *line; (line = text_line(&ours)) != NULL; free(line)) {
		if (*line == ':')
			chain = true;
		else if (has_our_comment(line))
			fprintf(text.out, "-D%s\n", line + 2);
		else
			fprintf(others.out, "%s\n", line);
	}
	*left = lines_of(&others);
	if (chain && *left == NULL)
		fputs("-X " OUR_CHAIN "\n", text.out);
	fputs("COMMIT\n", text.out);
	return text_end(&text);
}

/* Whether a line is the frame of our table: its braces, its chain, or the chain's hook. */
static bool is_frame(const char *content)
{
	return *content == '\0' || *content == '}' ||
	       strncmp(content, "type filter hook ", 17) == 0 ||
	       strncmp(content, "table ", 6) == 0 || strncmp(content, "chain divert {", 14) == 0;
}

static char *nft_removal(const char *ours, const char *family, char **left)
{
	struct text_stream text, others;
	char *rules;

	text_begin(&text);
	text_begin(&others);
	for (char *line; (line = text_line(&ours)) != NULL; free(line)) {
		const char *content = line + strspn(line, "\t ");
		const char *handle = strstr(line, "# handle ");

		if (is_frame(content))
			continue;
		if (strstr(line, "comment \"" OUR_NAME "\"") != NULL && handle != NULL)
			fprintf(text.out, "delete rule %s " OUR_NAME " divert handle %s\n", family,
				handle + strlen("# handle "));
		else
			fprintf(others.out, "%s\n", content);
	}
	rules = text_end(&text);
	*left = lines_of(&others);
	if (*left != NULL)
		return rules;
	free(rules);
	return text_format("delete table %s " OUR_NAME "\n", family);
}

char *our_rules_removal(const char *ours, bool nft, const char *family, char **left)
{
	return nft ? nft_removal(ours, family, left) : iptables_removal(ours, left);
}

bool our_rules_remove(const struct step *step, const char *ours, char **left, char **problem)
{
	char *input = our_rules_removal(ours, step->tool == TOOL_NFT, nft_family(step), left);
	bool well = run_tool(our_rules_loader(step), input, NULL, problem);

	free(input);
	return well;
}

/* The table mangle, as nft lists it. */
struct mangle {
	struct names before; /* the chains that were there before */
	struct names used;   /* the chains that have rules */
	json_t *chains;
	size_t others; /* what is neither the table nor a chain */
};

static bool add_mangle_object(void *context, json_t *object)
{
	struct mangle *mangle = context;
	json_t *chain = json_object_get(object, "chain"), *rule = json_object_get(object, "rule");

	if (chain != NULL)
		json_array_append(mangle->chains, chain);
	else if (json_object_get(object, "metainfo") == NULL &&
		 json_object_get(object, "table") == NULL)
		mangle->others++;
	if (rule != NULL)
		names_add(&mangle->used, json_text(rule, "chain"), 0);
	return true;
}

/* Whether a chain came with our rules, and has no rule and no policy but accept. */
static bool is_left_over(const struct mangle *mangle, const json_t *chain)
{
	const char *name = json_text(chain, "name");
	size_t ignored;

	return strcmp(json_text(chain, "policy"), "accept") == 0 &&
	       !names_find(&mangle->before, name, &ignored) &&
	       !names_find(&mangle->used, name, &ignored);
}

char *our_rules_cleaning(const json_t *before, const char *listing, const char *family)
{
	struct mangle mangle = {.chains = json_array()};
	char *problem = NULL;
	struct text_stream text;
	const json_t *each;
	size_t i, kept = 0;
	bool whole;

	text_begin(&text);
	for (i = 0; (each = json_array_get(before, i)) != NULL; i++)
		names_add(&mangle.before, json_string_value(each), 0);
	whole = json_list_read(listing, "nftables", add_mangle_object, &mangle, &problem);
	for (i = 0; (each = json_array_get(mangle.chains, i)) != NULL; i++) {
		if (whole && is_left_over(&mangle, each))
			fprintf(text.out, "delete chain %s mangle %s\n", family,
				json_text(each, "name"));
		else
			kept++;
	}
	if (json_is_null(before) && whole && kept + mangle.others == 0)
		fprintf(text.out, "delete table %s mangle\n", family);
	names_free(&mangle.before);
	names_free(&mangle.used);
	json_decref(mangle.chains);
	free(problem);
	return text_end(&text);
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

/* Whether the chain has a rule. CHAIN NULL: whether any has, or iptables did not make a chain itself. */
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

/* Reports what only nft can remove. */
static bool report_kept(const struct step *step, const json_t *before, char **kept, char **problem)
{
	static const char form[] = "%s of iptables stays, empty, because the program nft is "
				   "missing; `nft delete %s %s mangle%s` removes it";
	bool table = json_is_null(before);
	char *save = NULL, *mangle;

	if (!read_save(step, &save, problem))
		return false;
	mangle = our_rules_mangle_of_save(save);
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

bool our_rules_clean(const struct step *step, char **kept, char **problem)
{
	const json_t *before = step->chains_before;
	char *listing = NULL, *input;
	bool well = true;

	if (before == NULL)
		return true;
	if (!subprocess_exists("nft"))
		return report_kept(step, before, kept, problem);
	if (!list_mangle(step, &listing, problem))
		return false;
	if (listing == NULL)
		return true;
	input = our_rules_cleaning(before, listing, nft_family(step));
	if (*input != '\0')
		well = run_tool(text_copy("nft -f -"), input, NULL, problem);
	free(input);
	free(listing);
	return well;
}

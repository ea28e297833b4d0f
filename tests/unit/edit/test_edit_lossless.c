/*
 * Random changes of all good configurations: what differs, and what it then means.
 *
 * Two oracles judge each change (edits.h). A change that is refused proves nothing, so each operation has to succeed many
 * times, and most changes altogether. EDITS says how many are made of each file; the seed is fixed, so that a failure
 * repeats. With VERBOSE set, each change and each refusal is printed.
 */
#include "unit.h"

#include "edits.h"

#include "edit/edit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = {"set-transparent", "set-bind", "add-bind", "remove-bind",
	"set-default-backend", "set-maxconn", "set-timeout", "rename-farm", "set-balance",
	"set-source of a farm", "set-source of a server", "set-server value", "set-server address",
	"add-server", "remove-server", "rename-server", "add-listener", "add-farm", "remove",
	"set-mode"};

static unsigned done[OPERATION_COUNT], refused[OPERATION_COUNT];

#define ONE(operation) (1U << (operation))
#define NAMING                                                                                     \
	(ONE(ADD_LISTENER) | ONE(ADD_FARM) | ONE(ADD_SERVER) | ONE(RENAME_SECTION) |               \
		ONE(RENAME_SERVER))
#define ADDRESSES (ONE(SET_BIND) | ONE(ADD_BIND) | ONE(ADD_LISTENER) | ONE(SET_MODE))
#define FAMILIES                                                                                   \
	(ONE(SET_FARM_SOURCE) | ONE(SET_SERVER_SOURCE) | ONE(SET_SERVER_ADDRESS) |                 \
		ONE(ADD_SERVER) | ONE(ADD_FARM))

/* An edit may be refused for what it asks for. Any other reason is a mistake of how it was done. */
static void expect_reason(enum operation operation, const char *problem, const char *text)
{
	static const struct {
		unsigned operations;
		const char *part;
	} reasons[] = {
		{NAMING, "a name can hold letters, digits and"},
		{NAMING, "of this name already"},
		{ADDRESSES, "listens on this address already"},
		{ONE(SET_BIND), "is written with a variable; change it in the text"},
		{ONE(SET_BIND) | ONE(REMOVE_BIND),
			"none of the line's addresses is an IPv6 address"},
		{FAMILIES, "the server is reached over"},
		{ONE(SET_SERVER_ADDRESS), "what is checked is reached over the other family"},
		{ONE(SET_SERVER_VALUE), "no port to check"},
		{ONE(SET_SERVER_VALUE), "the server is where clients connect to"},
		{ONE(SET_SERVER_VALUE), "'track' leads to no server that is checked"},
		{ONE(SET_SERVER_VALUE), "the server cannot be checked, too"},
		{ONE(SET_MODE) | ONE(SET_DEFAULT_BACKEND), "its mode is not that of"},
		{ONE(SET_MODE), "with 'mode udp'"},
		{ONE(SET_MODE), "datagrams have no end"},
		{ONE(SET_MODE), "has no word for UDP"},
		{ONE(SET_MODE), "are for datagrams"},
		{ONE(SET_MODE), "'follow-port' is for datagrams"},
		{FAMILIES, "'follow-port' needs a port of its own"},
		{ONE(SET_DEFAULT_BACKEND), "cannot be taken back here"},
		{ONE(SET_DEFAULT_BACKEND) | ONE(REMOVE_SECTION), "is no backend or listen section"},
		{ONE(SET_BALANCE), "leaves no servers to choose from"},
		{ONE(REMOVE_SECTION), "no backend or listen section of this file has this name"},
		{ONE(REMOVE_SECTION) | ONE(REMOVE_SERVER), "no server of this file"},
		{ONE(REMOVE_SERVER), "no 'server' line of"},
		{ONE(RENAME_SERVER), "'server-template'"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if ((reasons[i].operations & ONE(operation)) &&
			strstr(problem, reasons[i].part) != NULL)
			return;
	print_error("%s is refused: %s\n%s", names[operation], problem, text);
	fail();
}

/* Makes one edit of *TEXT, judges it, and puts the new text in its place. */
static void run_edit(char **text)
{
	struct config *before = edits_parse(*text);
	struct lines lines = edits_split_lines(*text);
	char *changed = NULL, *problem = NULL;
	struct edit edit;
	size_t length;

	if (before == NULL || before->proxy_count == 0 || !edits_draw(&edit, before, &lines)) {
		edits_free_lines(&lines);
		config_free(before);
		return;
	}
	assert_non_null(edit.change);
	changed = edit_change(*text, strlen(*text), edit.change, &length, &problem);
	if (changed == NULL) {
		assert_non_null(problem);
		expect_reason(edit.operation, problem, *text);
		refused[edit.operation]++;
		if (getenv("VERBOSE") != NULL)
			printf("%s: %s\n", names[edit.operation], problem);
		free(problem);
	} else {
		done[edit.operation]++;
		if (getenv("VERBOSE") != NULL)
			printf("%s\n", json_dumps(edit.change, 0));
		assert_int_equal(length, strlen(changed));
		edits_judge_text(*text, changed, &edit);
		/* The daemon takes no text without a section; nothing can be compared then. */
		if (edit.operation != REMOVE_SECTION || before->proxy_count > 1)
			edits_judge_meaning(*text, changed, &edit, before);
		free(*text);
		*text = changed;
	}
	json_decref(edit.change);
	edits_free_lines(&lines);
	config_free(before);
}

enum variant {
	AS_IT_IS,
	CARRIAGE_RETURNS,
	NOT_CLOSED, /* without its last line feed */
	COMMENTED,  /* with comments and blanks between and behind the lines */
	VARIANT_COUNT
};

static char *variant(const char *text, enum variant which)
{
	static const char *const comments[] = {"\t # bind :1 transparent", "  ", " #",
		"\n# server a :1\n", "\n   \n", "\n\t# source 0.0.0.0 usesrc client"};
	char *made = calloc(1, 64 * strlen(text) + 1), *at = made;

	assert_non_null(made);
	for (size_t i = 0; *text != '\0'; text++) {
		if (which == CARRIAGE_RETURNS && *text == '\n' && at > made && at[-1] != '\r')
			*at++ = '\r';
		if (which == COMMENTED && *text == '\n' && (at == made || at[-1] != '\r'))
			at = stpcpy(at, comments[i++ % (sizeof(comments) / sizeof(comments[0]))]);
		*at++ = *text;
	}
	if (which == NOT_CLOSED)
		at[-1] = '\0';
	return made;
}

static void run_text(const char *text, unsigned edits)
{
	char *now = NULL;

	for (unsigned i = 0; i < edits; i++) {
		if (i % 30 == 0) {
			free(now);
			now = variant(text, (enum variant)(i / 30 % VARIANT_COUNT));
		}
		run_edit(&now);
	}
	free(now);
}

static char *read_text(const char *path)
{
	FILE *in = fopen(path, "re");
	char *text = calloc(1, 65536);

	assert_true(in != NULL && text != NULL);
	assert_true(fread(text, 1, 65535, in) < 65535);
	fclose(in);
	return text;
}

static void run_folder(const char *folder, unsigned edits)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, alphasort);

	assert_true(count > 2);
	for (int i = 0; i < count; i++) {
		const char *end = strrchr(entries[i]->d_name, '.');
		char path[512], *text;

		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		if (end != NULL && strcmp(end, ".cfg") == 0 &&
			strncmp(entries[i]->d_name, "refused-", 8) != 0) {
			text = read_text(path);
			run_text(text, edits);
			free(text);
		}
		free(entries[i]);
	}
	free(entries);
}

static void random_edits_change_the_words_meant_and_nothing_else(void **state)
{
	const char *wanted = getenv("EDITS");
	unsigned edits = wanted == NULL ? 100 : (unsigned)atoi(wanted);
	unsigned good = 0, bad = 0;

	(void)state;
	setenv("TPROXY_TEST_ADDRESS", "192.0.2.1", 1);
	run_folder("fixtures/config/good", edits);
	run_folder("fixtures/config/services", edits);
	for (int i = 0; i < OPERATION_COUNT; i++) {
		print_message("%-24s %5u done, %5u refused\n", names[i], done[i], refused[i]);
		assert_true(done[i] >= edits / 2);
		good += done[i];
		bad += refused[i];
	}
	print_message("%u changes were done, %u refused\n", good, bad);
	assert_true(good >= 1000 && good > 2 * bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_edits_change_the_words_meant_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The configuration as a whole: the files under fixtures/config, and the table of keywords.
 *
 * A file under good/ must be read, with the warnings of the .expected file beside it or none; one
 * under bad/ must be refused with exactly the messages of its .expected file. Every parser run here
 * is also a leak check, since the sanitizers' build runs the same tests.
 */
#include "config/config.h"
#include "config/keyword.h"
#include "parsed.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOOD "fixtures/config/good"
#define BAD  "fixtures/config/bad"

static char *read_file(const char *path, size_t *length)
{
	FILE *in = fopen(path, "re");
	char *text = NULL;
	int c;
	FILE *out;

	*length = 0;
	if (in == NULL)
		return NULL;
	out = open_memstream(&text, length);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

/* Runs VISIT for each .cfg file of FOLDER; there must be some. */
static void each_file(const char *folder, void (*visit)(const char *folder, const char *name))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		size_t length = strlen(entry->d_name);

		if (length < 4 || strcmp(entry->d_name + length - 4, ".cfg") != 0)
			continue;
		visit(folder, entry->d_name);
		count++;
	}
	closedir(dir);
	assert_true(count > 5);
}

/* Compares what is said about a file with the file beside it, or with nothing. */
static void check_file(const char *folder, const char *name, bool good)
{
	char path[512], *text, *expected, *messages;
	struct config *config;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	assert_non_null(text);
	config = parse(name, text, length, &messages);
	snprintf(path, sizeof(path), "%s/%.*s.expected", folder, (int)strlen(name) - 4, name);
	free(text);
	text = read_file(path, &length);
	expected = text != NULL ? text : strdup("");
	if (strcmp(messages, expected) != 0)
		fail_msg("%s: expected\n%s\nbut got\n%s", path, expected, messages);
	if (good != (config != NULL))
		fail_msg("%s: should be %s", name, good ? "accepted" : "refused");
	config_free(config);
	free(messages);
	free(expected);
}

static void check_good(const char *folder, const char *name)
{
	check_file(folder, name, true);
}

static void check_bad(const char *folder, const char *name)
{
	check_file(folder, name, false);
}

static void good_files_are_read_with_the_expected_warnings_only(void **state)
{
	(void)state;
	each_file(GOOD, check_good);
}

static void bad_files_are_refused_with_all_of_their_mistakes(void **state)
{
	char value[401];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	setenv("TPROXY_TEST_ADDRESS", "192.0.2.1", 1);
	setenv("TPROXY_TEST_LONG", value, 1);
	each_file(BAD, check_bad);
}

/* Reads LENGTH bytes in a block of just that size, so that reading beyond them is noticed. */
static void parse_bytes(const char *text, size_t length)
{
	char *copy = malloc(length + (length == 0)), *messages;

	memcpy(copy, text, length);
	config_free(parse("test", copy, length, &messages));
	free(messages);
	free(copy);
}

static void check_truncated(const char *folder, const char *name)
{
	char path[512], *text;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	for (size_t cut = 0; cut <= length; cut++)
		parse_bytes(text, cut);
	free(text);
}

static void a_file_that_is_cut_off_anywhere_does_no_harm(void **state)
{
	(void)state;
	each_file(GOOD, check_truncated);
}

static void check_flipped(const char *folder, const char *name)
{
	unsigned seed = 1;
	char path[512], *text;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	for (int i = 0; i < 200 && length > 0; i++) {
		size_t at = (size_t)rand_r(&seed) % length;
		char before = text[at];

		text[at] = (char)rand_r(&seed);
		parse_bytes(text, length);
		/* Every other change stays, so that a file also drifts far from where it was. */
		if (i % 2 == 0)
			text[at] = before;
	}
	free(text);
}

static void a_file_with_wrong_bytes_does_no_harm(void **state)
{
	(void)state;
	each_file(GOOD, check_flipped);
	each_file(BAD, check_flipped);
}

static void check_starved(const char *folder, const char *name)
{
	char path[512], *text;
	struct config *config = NULL;
	struct diag *diag;
	size_t length;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = read_file(path, &length);
	diag = diag_new();
	config = config_parse(name, text, length, diag);
	diag_free(diag);
	if (config == NULL)
		fail_msg("%s: refused with any memory", path);
	config_free(config);
	config = NULL;
	for (size_t limit = 0; config == NULL; limit += 61) {
		diag = diag_new();
		config = config_parse_within(name, text, length, diag, limit, false);
		assert_int_equal(config == NULL, diag_count(diag, DIAG_ERROR) > 0);
		diag_free(diag);
	}
	config_free(config);
	free(text);
}

static void too_little_memory_is_an_error_wherever_it_ends(void **state)
{
	(void)state;
	each_file(GOOD, check_starved);
}

static void lines_of_port_ranges_cannot_take_all_memory(void **state)
{
	const char *range = ":1-65535,:1-65535,:1-65535,:1-65535,:1-65535,:1-65535,:1-65535";
	struct diag *diag = diag_new();
	char text[512];
	int length = snprintf(text, sizeof(text), "listen a\n bind %s\n bind %s\n", range, range);
	char *messages;

	(void)state;
	assert_null(
		config_parse_within("test", text, (size_t)length, diag, (size_t)4 << 20, false));
	messages = diag_text(diag);
	assert_non_null(strstr(messages, "test: error: out of memory\n"));
	free(messages);
	diag_free(diag);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	struct diag *diag = diag_new();
	char *messages;

	(void)state;
	assert_null(config_load("fixtures/config/none.cfg", diag));
	assert_null(config_load("fixtures/config", diag));
	messages = diag_text(diag);
	assert_string_equal(messages,
		"fixtures/config/none.cfg: error: cannot be read: No such file or directory\n"
		"fixtures/config: error: cannot be read: Is a directory\n");
	free(messages);
	diag_free(diag);
}

static void a_file_is_read_from_its_path(void **state)
{
	struct diag *diag = diag_new();
	struct config *config = config_load(GOOD "/transparent.cfg", diag);

	(void)state;
	assert_non_null(config);
	assert_int_equal(config->proxy_count, 2);
	config_free(config);
	config_free(NULL);
	diag_free(diag);
}

static void a_long_file_is_read_to_its_end(void **state)
{
	char path[] = "/tmp/tproxyd-test-XXXXXX";
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	struct diag *diag = diag_new();
	struct config *config;

	(void)state;
	assert_non_null(out);
	for (int i = 0; i < 5000; i++)
		fprintf(out, "# line %d\n", i);
	fputs("listen last\n", out);
	fclose(out);
	config = config_load(path, diag);
	remove(path);
	assert_non_null(config);
	assert_int_equal(config->proxies[0].line, 5001);
	config_free(config);
	diag_free(diag);
}

static void a_text_alone_is_read_without_files_and_names(void **state)
{
	static const char text[] =
		"listen l\n"
		"\tbind :80\n"
		"\ttcp-request connection reject if { src -f /nowhere }\n"
		"\tsource 2001:db8::1:0 usesrc [2001:db8::2]\n"
		"\tserver a nowhere.invalid:80 check check-usesrc 2001:db8::7\n"
		"\ttimeout connect 1s\n\ttimeout client 1s\n\ttimeout server 1s\n";
	struct diag *diag = diag_new();
	struct config *config = config_parse_text("test", text, strlen(text), diag);

	(void)state;
	assert_non_null(config);
	assert_string_equal(config->proxies[0].servers[0].host, "nowhere.invalid");
	assert_true(config->proxies[0].servers[0].unresolved);
	config_free(config);
	config = config_parse("test", text, strlen(text), diag);
	assert_null(config);
	diag_free(diag);
}

static void expect_error(const char *text, const char *expected)
{
	char *messages;
	struct config *config = parse("test", text, strlen(text), &messages);

	assert_string_equal(messages, expected);
	assert_null(config);
	free(messages);
}

static void a_message_shows_a_word_on_one_line(void **state)
{
	(void)state;
	expect_error("global\n \"a\\nb\"\n",
		"test:2: error: 'a\\x0ab': unknown keyword in this place, which is: global\n");
}

/* --- keywords --- */

/* The keyword table as the manual has it. */
static char *manual_table(void)
{
	const struct keyword *keyword;
	char *text = NULL, places[128];
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs("| keyword | place | meaning |\n|---|---|---|\n", out);
	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++)
		fprintf(out, "| `%s%s%s` | %s | %s |\n", keyword->name,
			*keyword->arguments == '\0' ? "" : " ", keyword->arguments,
			where_text(keyword->where, places, sizeof(places)), keyword->help);
	fputs("\n", out); /* no further row */
	fclose(out);
	return text;
}

static void the_manual_has_the_keyword_table_as_the_code_has_it(void **state)
{
	size_t length;
	char *manual = read_file("docs/CONFIGURATION.md", &length), *table = manual_table();

	(void)state;
	if (manual == NULL || strstr(manual, table) == NULL) {
		fputs(table, stderr);
		fail_msg("docs/CONFIGURATION.md should have the table above");
	}
	free(manual);
	free(table);
}

/* Whether a line of a good file has the keyword, at a place where it may stand. */
static bool line_has(const char *line, const struct keyword *keyword)
{
	const char *at = line + strspn(line, " \t");
	size_t length = strcspn(keyword->name, "(");
	const char *ends = keyword->name[length] == '(' ? "(" : " \n";

	if (keyword->where & (ON_BIND | ON_SERVER)) {
		if (strncmp(at, keyword->where & ON_BIND ? "bind " : "server ", 5) != 0)
			return false;
		at = memmem(at, strlen(at), keyword->name, length);
		return at != NULL && at[-1] == ' ' && strchr(ends, at[length]) != NULL;
	}
	return strncmp(at, keyword->name, length) == 0 && strchr(ends, at[length]) != NULL;
}

static bool keywords_found[KEYWORDS_MAX];

static void note_keywords(const char *folder, const char *name)
{
	char path[512], line[512];
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	in = fopen(path, "re");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL)
		for (size_t i = 0; keyword_at(i) != NULL; i++)
			keywords_found[i] |= line_has(line, keyword_at(i));
	fclose(in);
}

static void every_keyword_stands_in_a_good_file(void **state)
{
	(void)state;
	each_file(GOOD, note_keywords);
	for (size_t i = 0; keyword_at(i) != NULL; i++)
		if (!keywords_found[i])
			fail_msg("%s: no file under " GOOD " has it", keyword_at(i)->name);
}

/* An offset is right in one struct only; drop_value() and print_value() rely on it, too. */
static void all_places_of_a_plain_value_have_the_same_struct(void **state)
{
	static const unsigned objects[] = {IN_GLOBAL, IN_PROXIES, ON_BIND, ON_SERVER, IN_RESOLVERS};
	const struct keyword *keyword;

	(void)state;
	for (size_t i = 0; (keyword = keyword_at(i)) != NULL; i++) {
		size_t fitting = keyword->value.type == VALUE_OWN;

		for (size_t j = 0; j < sizeof(objects) / sizeof(objects[0]); j++)
			fitting += keyword->value.type != VALUE_OWN &&
				   (keyword->where & objects[j]) == keyword->where;
		if (fitting != 1)
			fail_msg("%s: its places have several structs", keyword->name);
	}
}

static void no_keyword_stands_twice_in_one_place(void **state)
{
	const struct keyword *a, *b;

	(void)state;
	for (size_t i = 0; (a = keyword_at(i)) != NULL; i++)
		for (size_t j = 0; j < i && (b = keyword_at(j)) != NULL; j++)
			if (strcmp(a->name, b->name) == 0 && strcmp(a->name, "log") != 0)
				assert_int_equal(a->where & b->where, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files_are_read_with_the_expected_warnings_only),
		cmocka_unit_test(bad_files_are_refused_with_all_of_their_mistakes),
		cmocka_unit_test(a_file_that_is_cut_off_anywhere_does_no_harm),
		cmocka_unit_test(a_file_with_wrong_bytes_does_no_harm),
		cmocka_unit_test(too_little_memory_is_an_error_wherever_it_ends),
		cmocka_unit_test(lines_of_port_ranges_cannot_take_all_memory),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
		cmocka_unit_test(a_file_is_read_from_its_path),
		cmocka_unit_test(a_long_file_is_read_to_its_end),
		cmocka_unit_test(a_message_shows_a_word_on_one_line),
		cmocka_unit_test(the_manual_has_the_keyword_table_as_the_code_has_it),
		cmocka_unit_test(every_keyword_stands_in_a_good_file),
		cmocka_unit_test(all_places_of_a_plain_value_have_the_same_struct),
		cmocka_unit_test(no_keyword_stands_twice_in_one_place),
		cmocka_unit_test(a_text_alone_is_read_without_files_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

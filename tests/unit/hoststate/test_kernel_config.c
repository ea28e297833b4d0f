/*
 * Kernel configurations: the options and capabilities in them, and text that is refused.
 */
#include "hoststate/kernel_config.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#define HEADING(version)                                                                           \
	"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 " version                    \
	" Kernel Configuration\n#\n"
#define NFT_BASE    "CONFIG_NF_TABLES=y\nCONFIG_NF_TABLES_IPV4=y\nCONFIG_NF_TABLES_IPV6=y\n"
#define SOCKET_BASE "CONFIG_NETFILTER_ADVANCED=y\nCONFIG_NETFILTER_XT_MATCH_SOCKET=m\n"
#define TABLES      "CONFIG_IP_NF_IPTABLES=m\nCONFIG_IP_NF_MANGLE=m\n"

static struct kernel_config *config;
static char error[KERNEL_CONFIG_ERROR_MAX], folder[] = "/tmp/kernel-config-XXXXXX";
static const char *options[CAPABILITY_OPTIONS_MAX];
static size_t count;

static int end(void **state)
{
	(void)state;
	kernel_config_free(config);
	config = NULL;
	return 0;
}

static void read_text(const char *text)
{
	end(NULL);
	config = kernel_config_parse(text, strlen(text), "it", error);
	if (config == NULL)
		fail_msg("%s", error);
}

static void refused(const char *text, const char *expected)
{
	assert_null(kernel_config_parse(text, strlen(text), "it", error));
	if (strstr(error, expected) == NULL)
		fail_msg("'%s' does not say '%s'", error, expected);
}

static enum kernel_allows allows(enum capability_name name, int family)
{
	return kernel_config_allows(config, name, family, options, &count);
}

static enum kernel_allows legacy(enum rules_feature feature)
{
	return allows(capability_of_rules(TOOL_LEGACY, feature), AF_INET);
}

/* --- options --- */

static void an_option_is_on_a_module_off_or_absent(void **state)
{
	(void)state;
	read_text(HEADING("6.1.0") "CONFIG_NET=y\nCONFIG_VETH=m\n# CONFIG_IPV6 is not set\n"
				   "CONFIG_INET=n\nCONFIG_HZ=250\nCONFIG_NAME=\"a \\\" b\"\n"
				   "CONFIG_LESS=-1\nCONFIG_AT=0xffffffff\n");
	assert_int_equal(kernel_config_option(config, "CONFIG_NET"), KERNEL_OPTION_YES);
	assert_int_equal(kernel_config_option(config, "CONFIG_VETH"), KERNEL_OPTION_MODULE);
	assert_int_equal(kernel_config_option(config, "CONFIG_IPV6"), KERNEL_OPTION_NO);
	assert_int_equal(kernel_config_option(config, "CONFIG_INET"), KERNEL_OPTION_NO);
	assert_int_equal(kernel_config_option(config, "CONFIG_HZ"), KERNEL_OPTION_YES);
	assert_int_equal(kernel_config_option(config, "CONFIG_NAME"), KERNEL_OPTION_YES);
	assert_int_equal(kernel_config_option(config, "CONFIG_AT"), KERNEL_OPTION_YES);
	assert_int_equal(kernel_config_option(config, "CONFIG_NE"), KERNEL_OPTION_ABSENT);
	assert_int_equal(kernel_config_option(config, "CONFIG_NETS"), KERNEL_OPTION_ABSENT);
}

static void the_last_line_about_an_option_counts(void **state)
{
	(void)state;
	read_text("CONFIG_NET=y\n# CONFIG_NET is not set\nCONFIG_VETH=n\nCONFIG_VETH=y\n");
	assert_int_equal(kernel_config_option(config, "CONFIG_NET"), KERNEL_OPTION_NO);
	assert_int_equal(kernel_config_option(config, "CONFIG_VETH"), KERNEL_OPTION_YES);
}

static void comments_are_skipped(void **state)
{
	(void)state;
	read_text("\n#\n# General setup\n# CONFIG_NET=y\n# CONFIG_VETH is not set today\n"
		  "# end of CONFIG_IPV6\nCONFIG_INET=y\n");
	assert_int_equal(kernel_config_option(config, "CONFIG_NET"), KERNEL_OPTION_ABSENT);
	assert_int_equal(kernel_config_option(config, "CONFIG_VETH"), KERNEL_OPTION_ABSENT);
	assert_int_equal(kernel_config_option(config, "CONFIG_IPV6"), KERNEL_OPTION_ABSENT);
	assert_null(kernel_config_version(config));
}

static void the_heading_has_the_version(void **state)
{
	(void)state;
	read_text(HEADING("6.18.44-rc1") "CONFIG_NET=y\n");
	assert_string_equal(kernel_config_version(config), "6.18.44-rc1");
	assert_string_equal(kernel_config_source(config), "it");
}

/* --- capabilities --- */

static void all_options_of_a_capability_have_to_be_on(void **state)
{
	enum capability_name socket = capability_of_rules(TOOL_NFT, RULES_SOCKET);

	(void)state;
	read_text(HEADING("6.1.0") NFT_BASE "CONFIG_NFT_SOCKET=m\n");
	assert_int_equal(allows(socket, AF_INET), KERNEL_ALLOWS_YES);
	assert_int_equal(count, 0);
	read_text(HEADING("6.1.0") NFT_BASE "# CONFIG_NFT_SOCKET is not set\n");
	assert_int_equal(allows(socket, AF_INET), KERNEL_ALLOWS_NO);
	assert_int_equal(count, 1);
	assert_string_equal(options[0], "CONFIG_NFT_SOCKET");
	assert_string_equal(kernel_allows_name(KERNEL_ALLOWS_NO), "off");
}

static void families_are_separate(void **state)
{
	(void)state;
	read_text(HEADING("6.1.0") "CONFIG_INET=y\n# CONFIG_IPV6 is not set\n");
	assert_int_equal(allows(CAPABILITY_TRANSPARENT, AF_INET), KERNEL_ALLOWS_YES);
	assert_int_equal(allows(CAPABILITY_TRANSPARENT, AF_INET6), KERNEL_ALLOWS_NO);
	assert_string_equal(options[0], "CONFIG_IPV6");
}

static void without_netfilter_what_is_not_mentioned_is_off(void **state)
{
	(void)state;
	read_text(HEADING("6.1.0") "CONFIG_NET=y\n# CONFIG_NETFILTER is not set\n");
	assert_int_equal(
		allows(capability_of_rules(TOOL_NFT, RULES_TABLE), AF_INET), KERNEL_ALLOWS_NO);
	assert_int_equal(count, 2);
	assert_string_equal(options[0], "CONFIG_NF_TABLES");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_NO);
}

/* --- options that only some versions have --- */

static void before_6_9_legacy_tables_have_no_option_of_their_own(void **state)
{
	(void)state;
	read_text(HEADING("6.1.176") TABLES SOCKET_BASE);
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_YES);
	assert_int_equal(legacy(RULES_SOCKET), KERNEL_ALLOWS_YES);
	read_text(
		HEADING("6.8.0-rc1") "CONFIG_IP_NF_IPTABLES=y\n# CONFIG_IP_NF_MANGLE is not set\n");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_NO);
	assert_int_equal(count, 1);
	assert_string_equal(options[0], "CONFIG_IP_NF_MANGLE");
}

static void since_6_9_they_have(void **state)
{
	(void)state;
	read_text(HEADING("6.9.0") TABLES "CONFIG_IP_NF_IPTABLES_LEGACY=m\n");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_YES);
	read_text(HEADING("6.18.1") "CONFIG_IP_NF_IPTABLES=y\n"
				    "# CONFIG_IP_NF_IPTABLES_LEGACY is not set\n");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_NO);
	assert_int_equal(count, 2);
	assert_string_equal(options[0], "CONFIG_IP_NF_IPTABLES_LEGACY");
	assert_string_equal(options[1], "CONFIG_IP_NF_MANGLE");
	read_text(HEADING("10.0.0") "CONFIG_IP_NF_IPTABLES=y\n");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_NO);
	assert_int_equal(count, 2);
}

/* A fragment's version is not known: what selects the option, or needs it, decides. */
static void a_fragment_with_mangle_need_not_mention_legacy(void **state)
{
	(void)state;
	read_text(TABLES);
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_YES);
	read_text(TABLES "# CONFIG_IP_NF_IPTABLES_LEGACY is not set\n");
	assert_int_equal(legacy(RULES_TABLE), KERNEL_ALLOWS_NO);
}

static void a_fragment_leaves_open_what_it_does_not_mention(void **state)
{
	(void)state;
	read_text(NFT_BASE);
	assert_int_equal(allows(capability_of_rules(TOOL_NFT, RULES_SOCKET), AF_INET),
		KERNEL_ALLOWS_UNKNOWN);
	assert_int_equal(count, 1);
	assert_string_equal(options[0], "CONFIG_NFT_SOCKET");
	read_text("# CONFIG_NF_TABLES is not set\n");
	assert_int_equal(
		allows(capability_of_rules(TOOL_NFT, RULES_SOCKET), AF_INET), KERNEL_ALLOWS_NO);
	assert_string_equal(options[0], "CONFIG_NF_TABLES");
}

/* --- refused --- */

static void other_text_is_refused_with_its_line(void **state)
{
	(void)state;
	refused("CONFIG_NET=y\nnonsense\n", "it:2: ");
	refused("CONFIG_NET=y\n\nCONFIG_net-x=y\n", "it:3: ");
	refused("CONFIG_=y\n", "it:1: ");
	refused("CONFIG_NET\n", "it:1: ");
	refused("CONFIG_NET=\n", "it:1: ");
	refused("CONFIG_NET=perhaps\n", "it:1: ");
	refused("CONFIG_NET=y \n", "it:1: ");
	refused(" CONFIG_NET=y\n", "it:1: ");
	refused("CONFIG_NAME=\"open\n", "it:1: ");
	refused("CONFIG_NAME=\"a\"b\"\n", "it:1: ");
	refused("CONFIG_HZ=0x\n", "it:1: ");
	refused("", "no option");
	refused("# nothing\n", "no option");
	assert_null(kernel_config_parse("CONFIG_A=y\n\0\n", 13, "it", error));
	assert_non_null(strstr(error, "it:2: "));
}

static void garbage_is_shown_as_short_plain_text(void **state)
{
	char text[4096];

	(void)state;
	memset(text, '\x1b', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	assert_null(kernel_config_parse(text, sizeof(text), "it", error));
	assert_null(strchr(error, '\x1b'));
	assert_true(strlen(error) < 120);
}

static void every_text_that_is_cut_off_within_a_line_is_refused(void **state)
{
	static const char text[] = HEADING("6.1.0") "CONFIG_A=y\n# CONFIG_B is not set\n";

	(void)state;
	for (size_t length = 1; length < sizeof(text) - 1; length++) {
		if (text[length - 1] == '\n')
			continue;
		assert_null(kernel_config_parse(text, length, "it", error));
		assert_non_null(strstr(error, "cut off"));
	}
}

/* --- files --- */

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/kernel-config-XXXXXX");
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	char *command = text_format("rm -r %s", folder);
	int status = system(command); /* NOLINT(cert-env33-c,bugprone-command-processor) */

	free(command);
	end(state);
	return status;
}

static char *at(const char *name)
{
	return text_format("%s/%s", folder, name);
}

/* Writes the first LENGTH bytes (0: all) of the text, compressed where LEVEL is not 0. */
static char *file_of(const char *name, const char *text, int level, size_t length)
{
	char *path = at(name);
	gzFile out = gzopen(path, level != 0 ? "wb9" : "wbT");

	assert_int_equal(gzwrite(out, text, (unsigned)strlen(text)), strlen(text));
	assert_int_equal(gzclose(out), Z_OK);
	if (length != 0)
		assert_int_equal(truncate(path, (off_t)length), 0);
	return path;
}

static void load_refused(char *path, const char *expected)
{
	assert_null(kernel_config_load(path, error));
	if (strstr(error, expected) == NULL || strstr(error, path) == NULL)
		fail_msg("'%s' does not say '%s'", error, expected);
	free(path);
}

static void plain_and_compressed_files_are_read_alike(void **state)
{
	(void)state;
	for (int level = 0; level < 2; level++) {
		char *path = file_of("config", HEADING("6.1.0") "CONFIG_NET=y\n", level, 0);

		end(NULL);
		config = kernel_config_load(path, error);
		assert_non_null(config);
		assert_int_equal(kernel_config_option(config, "CONFIG_NET"), KERNEL_OPTION_YES);
		assert_string_equal(kernel_config_source(config), path);
		free(path);
	}
}

static void files_that_are_cut_off_or_damaged_are_refused(void **state)
{
	static const char text[] = HEADING("6.1.0") "CONFIG_NET=y\nCONFIG_INET=y\n";
	char *path = file_of("damaged.gz", text, 1, 0);
	FILE *file = fopen(path, "r+");

	(void)state;
	fseek(file, -6, SEEK_END);
	fputc('?', file);
	fclose(file);
	load_refused(path, "damaged");
	load_refused(file_of("cut.gz", text, 1, 60), "cut off");
	load_refused(file_of("head.gz", text, 1, 12), "cut off");
	load_refused(file_of("cut", text, 0, sizeof(text) - 4), "cut off");
	load_refused(file_of("empty", "", 0, 0), "no option");
}

static void what_cannot_be_opened_says_why(void **state)
{
	(void)state;
	load_refused(at("none"), "No such file");
	load_refused(at(""), "Is a directory");
}

static void a_file_without_end_is_refused(void **state)
{
	(void)state;
	load_refused(text_format("/dev/zero"), "larger than");
}

static void put(const char *name, const char *option)
{
	char *text = text_format("%s=y\n", option);

	free(file_of(name, text, 1, 0));
	free(text);
}

static void the_running_kernels_is_the_first_that_exists(void **state)
{
	struct utsname names;
	char *boot, *path;

	(void)state;
	uname(&names);
	assert_null(kernel_config_running(folder, error));
	assert_non_null(strstr(error, "/proc/config.gz"));
	assert_non_null(strstr(error, "/boot/config-"));
	assert_non_null(strstr(error, "/config: No such file"));
	mkdir(path = at("boot"), 0700);
	free(path);
	mkdir(path = at("proc"), 0700);
	free(path);
	boot = text_format("boot/config-%s", names.release);
	put(boot, "CONFIG_BOOT");
	config = kernel_config_running(folder, error);
	assert_int_equal(kernel_config_option(config, "CONFIG_BOOT"), KERNEL_OPTION_YES);
	end(NULL);
	put("proc/config.gz", "CONFIG_PROC");
	config = kernel_config_running(folder, error);
	assert_int_equal(kernel_config_option(config, "CONFIG_PROC"), KERNEL_OPTION_YES);
	end(NULL);
	free(file_of("proc/config.gz", "garbage\n", 0, 0));
	assert_null(kernel_config_running(folder, error));
	assert_non_null(strstr(error, "config.gz:1: "));
	free(boot);
}

#define ON_TEXT(test)  cmocka_unit_test_teardown(test, end)
#define ON_FILES(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_TEXT(an_option_is_on_a_module_off_or_absent),
		ON_TEXT(the_last_line_about_an_option_counts),
		ON_TEXT(comments_are_skipped),
		ON_TEXT(the_heading_has_the_version),
		ON_TEXT(all_options_of_a_capability_have_to_be_on),
		ON_TEXT(families_are_separate),
		ON_TEXT(without_netfilter_what_is_not_mentioned_is_off),
		ON_TEXT(before_6_9_legacy_tables_have_no_option_of_their_own),
		ON_TEXT(since_6_9_they_have),
		ON_TEXT(a_fragment_with_mangle_need_not_mention_legacy),
		ON_TEXT(a_fragment_leaves_open_what_it_does_not_mention),
		ON_TEXT(other_text_is_refused_with_its_line),
		ON_TEXT(garbage_is_shown_as_short_plain_text),
		ON_TEXT(every_text_that_is_cut_off_within_a_line_is_refused),
		ON_FILES(plain_and_compressed_files_are_read_alike),
		ON_FILES(files_that_are_cut_off_or_damaged_are_refused),
		ON_FILES(what_cannot_be_opened_says_why),
		ON_FILES(a_file_without_end_is_refused),
		ON_FILES(the_running_kernels_is_the_first_that_exists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

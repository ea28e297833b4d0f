/*
 * The service that applies a plan at boot: its text, and that it comes and goes without a trace.
 */
#include "setup/boot_service.h"
#include "tproxy/file.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE "/run/tproxyctl/state.json"

static char folder[] = "/tmp/test_boot_serviceXXXXXX";

static int make_folder(void **state)
{
	(void)state;
	memset(folder + sizeof(folder) - 7, 'X', 6);
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	char *command = text_format("rm -r %s", folder);
	int status = system(command);

	(void)state;
	free(command);
	return status;
}

static char *made(const char *const words[], size_t count)
{
	return boot_service_text("/usr/local/sbin/tproxyctl", words, count, STATE);
}

static void assert_has(const char *text, const char *line)
{
	if (strstr(text, line) == NULL)
		fail_msg("no line\n%sin\n%s", line, text);
}

static void it_applies_at_its_start_and_reverts_at_its_stop(void **state)
{
	const char *const words[] = {"--config", "/etc/tproxyd.cfg"};
	char *text = made(words, 2);

	(void)state;
	assert_has(text, "\nExecStart=/usr/local/sbin/tproxyctl apply --config /etc/tproxyd.cfg\n");
	assert_has(text,
		"\nExecStop=/usr/local/sbin/tproxyctl revert --keep-service --state /run/tproxyctl/state.json\n");
	assert_has(text, "\nBefore=tproxyd.service ");
	assert_has(text, "\nWantedBy=multi-user.target\n");
	free(text);
}

static void words_are_quoted_for_systemd(void **state)
{
	const char *const words[] = {"--config", "/etc/my \"proxy\" 100%/$x\\.cfg", ""};
	const char *const broken[] = {"--config", "a\nExecStart=/bin/evil"};
	char *text = made(words, 3);

	(void)state;
	assert_has(text, " --config \"/etc/my \\\"proxy\\\" 100%%/$$x\\\\.cfg\" \"\"\n");
	free(text);
	assert_null(made(broken, 2));
}

static char *path(const char *name)
{
	return text_format("%s/%s", folder, name);
}

static bool is_there(const char *name)
{
	char *full = path(name);
	struct stat status;
	bool found = lstat(full, &status) == 0;

	free(full);
	return found;
}

static void it_is_enabled_and_goes_without_a_trace(void **state)
{
	char *text = made(NULL, 0);

	(void)state;
	assert_int_equal(boot_service_look(folder), BOOT_SERVICE_NONE);
	for (int i = 0; i < 2; i++) {
		assert_true(boot_service_install(folder, text));
		assert_int_equal(boot_service_look(folder), BOOT_SERVICE_OURS);
		assert_true(is_there("multi-user.target.wants/tproxyctl.service"));
	}
	assert_int_equal(boot_service_remove(folder, STATE), 1);
	assert_false(is_there("tproxyctl.service"));
	assert_false(is_there("multi-user.target.wants"));
	assert_int_equal(boot_service_remove(folder, STATE), 0);
	free(text);
}

static void the_links_of_others_stay(void **state)
{
	char *text = made(NULL, 0), *wanted = path("multi-user.target.wants");
	char *other = path("multi-user.target.wants/other.service");

	(void)state;
	assert_int_equal(mkdir(wanted, 0755), 0);
	assert_int_equal(symlink("../other.service", other), 0);
	assert_true(boot_service_install(folder, text));
	assert_int_equal(boot_service_remove(folder, STATE), 1);
	assert_true(is_there("multi-user.target.wants/other.service"));
	free(other);
	free(wanted);
	free(text);
}

static void one_of_another_state_file_stays(void **state)
{
	char *text = made(NULL, 0);

	(void)state;
	assert_true(boot_service_install(folder, text));
	assert_int_equal(boot_service_remove(folder, "/run/other.json"), 0);
	assert_int_equal(boot_service_look(folder), BOOT_SERVICE_OURS);
	free(text);
}

static void a_file_of_others_is_neither_replaced_nor_removed(void **state)
{
	char *file = path("tproxyctl.service");
	FILE *out = fopen(file, "w");

	(void)state;
	assert_non_null(out);
	fputs("[Service]\nExecStart=/bin/true\n", out);
	fclose(out);
	assert_int_equal(boot_service_look(folder), BOOT_SERVICE_FOREIGN);
	assert_int_equal(boot_service_remove(folder, STATE), 0);
	assert_true(is_there("tproxyctl.service"));
	free(file);
}

static void a_host_without_systemd_is_known(void **state)
{
	(void)state;
	assert_int_equal(boot_service_look("/tmp/no/such/folder"), BOOT_SERVICE_NO_SYSTEMD);
	assert_false(boot_service_install("/tmp/no/such/folder", "text"));
}

/* The file in contrib is the one that is written, with an example's options. */
static void the_file_in_contrib_is_the_same(void **state)
{
	const char *const words[] = {"--config", "/etc/tproxyd.cfg"};
	char *text = made(words, 2), *file;
	size_t length;

	(void)state;
	file = file_read("contrib/tproxyctl.service", &length);
	assert_non_null(file);
	assert_string_equal(strchr(file, '['), strchr(text, '['));
	free(file);
	free(text);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(it_applies_at_its_start_and_reverts_at_its_stop),
		WITH(words_are_quoted_for_systemd),
		WITH(it_is_enabled_and_goes_without_a_trace),
		WITH(the_links_of_others_stay),
		WITH(one_of_another_state_file_stays),
		WITH(a_file_of_others_is_neither_replaced_nor_removed),
		WITH(a_host_without_systemd_is_known),
		WITH(the_file_in_contrib_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

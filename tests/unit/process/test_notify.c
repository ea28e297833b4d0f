/*
 * What a service manager gets: a test's own socket stands for it.
 */
#include "process/notify.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/tproxyd-notify-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

/* A manager at an address as $NOTIFY_SOCKET has it. */
static int manage(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	size_t length = strlen(name);

	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
				 (socklen_t)(sizeof(address.sun_family) + length)),
		0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static const char *next_message(int manager)
{
	static char text[512];
	ssize_t length = recv(manager, text, sizeof(text) - 1, 0);

	if (length == -1) {
		assert_int_equal(errno, EAGAIN);
		return "";
	}
	text[length] = '\0';
	return text;
}

static unsigned long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (unsigned long long)at.tv_sec * 1000000 + (unsigned long long)at.tv_nsec / 1000;
}

static void assert_messages(const char *name)
{
	int manager = manage(name);
	unsigned long long before = now(), at;
	struct notify notify;
	char end;

	notify_open(&notify, getpid());
	assert_int_not_equal(notify.fd, -1);
	notify_ready(&notify, "all is well");
	assert_string_equal(next_message(manager), "READY=1\nSTATUS=all is well");
	notify_reloading(&notify);
	assert_int_equal(
		sscanf(next_message(manager), "RELOADING=1\nMONOTONIC_USEC=%llu%c", &at, &end), 1);
	assert_in_range(at, before, now());
	notify_stopping(&notify);
	assert_string_equal(next_message(manager), "STOPPING=1");
	assert_string_equal(next_message(manager), "");
	notify_close(&notify);
	notify_ready(&notify, "closed");
	assert_string_equal(next_message(manager), "");
	notify_close(&notify);
	close(manager);
}

static void a_manager_at_a_path_gets_them(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/socket", folder);
	assert_messages(path);
	unlink(path);
}

static void a_manager_at_an_abstract_name_gets_them(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@tproxyd-%d", (int)getpid());
	assert_messages(name);
}

static void assert_silent(const char *name)
{
	struct notify notify;

	if (name == NULL)
		unsetenv("NOTIFY_SOCKET");
	else
		setenv("NOTIFY_SOCKET", name, 1);
	notify_open(&notify, getpid());
	assert_int_equal(notify.fd, -1);
	notify_ready(&notify, "");
	notify_close(&notify);
}

static void without_a_usable_address_nothing_is_opened(void **state)
{
	struct sockaddr_un address;
	char longest[sizeof(address.sun_path) + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_silent(NULL);
	assert_silent("");
	assert_silent("/");
	assert_silent("vsock:2:1");
	assert_silent("relative");
	assert_silent(longest);
}

static void assert_watchdog(const char *usec, const char *pid, unsigned long long wanted)
{
	struct notify notify;

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (usec != NULL)
		setenv("WATCHDOG_USEC", usec, 1);
	if (pid != NULL)
		setenv("WATCHDOG_PID", pid, 1);
	setenv("NOTIFY_SOCKET", "@tproxyd-watchdog", 1);
	notify_open(&notify, 4711);
	assert_true(notify.watchdog == wanted);
	notify_close(&notify);
}

static void signs_of_life_are_due_where_the_environment_says_so(void **state)
{
	struct notify notify;

	(void)state;
	assert_watchdog("30000000", "4711", 30000000);
	assert_watchdog("30000000", NULL, 30000000);
	assert_watchdog("18446744073709551614", "4711", 18446744073709551614u);
	assert_watchdog(NULL, "4711", 0);
	assert_watchdog("30000000", "4712", 0); /* another process's */
	setenv("WATCHDOG_PID", "4711", 1);
	setenv("WATCHDOG_USEC", "30000000", 1);
	unsetenv("NOTIFY_SOCKET");
	notify_open(&notify, 4711);
	assert_true(notify.watchdog == 0);
}

static void a_bad_number_is_as_none(void **state)
{
	static const char *const bad[] = {"", "0", "-1", "+1", " 1", "1 ", "1s", "1.5", "0x10",
		"18446744073709551615", "18446744073709551616", "99999999999999999999999"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_watchdog(bad[i], "4711", 0);
		assert_watchdog("30000000", bad[i], 0);
	}
}

static void a_sign_of_life_is_one_line(void **state)
{
	char name[64];
	struct notify notify;
	int manager;

	(void)state;
	snprintf(name, sizeof(name), "@tproxyd-alive-%d", (int)getpid());
	manager = manage(name);
	notify_open(&notify, getpid());
	notify_alive(&notify);
	assert_string_equal(next_message(manager), "WATCHDOG=1");
	notify_close(&notify);
	close(manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manager_at_a_path_gets_them),
		cmocka_unit_test(a_manager_at_an_abstract_name_gets_them),
		cmocka_unit_test(without_a_usable_address_nothing_is_opened),
		cmocka_unit_test(signs_of_life_are_due_where_the_environment_says_so),
		cmocka_unit_test(a_bad_number_is_as_none),
		cmocka_unit_test(a_sign_of_life_is_one_line),
	};

	return cmocka_run_group_tests_name("notify", tests, make_folder, remove_folder);
}

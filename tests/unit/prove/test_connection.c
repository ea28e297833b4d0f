/*
 * The two sides of a connection through scratch namespaces, where a system call of theirs fails.
 */
#include "prove/connection_sides.h"
#include "prove/scratch.h"
#include "tproxy/clock.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	DONE = 0,
	WRONG = 1,
	NO_FILTER = 2
};

/* From here on a system call fails with ENOBUFS. */
static bool refuse(unsigned call)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOBUFS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(steps) / sizeof(steps[0]), steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (folder != NULL && readdir(folder) != NULL)
		count++;
	if (folder != NULL)
		closedir(folder);
	return count;
}

static struct addr at(const char *ip, uint16_t port)
{
	struct addr made = addr_any(AF_INET);

	addr_parse(&made, ip);
	addr_set_port(&made, port);
	return made;
}

/* Client and proxy are one host here, and the address is its own. */
static bool reach_listener(struct connection *connection)
{
	int host = scratch_host();
	struct scratch_network network = {host, host, host};
	struct connection_attempt attempt = {.connection = connection,
		.network = &network,
		.family = AF_INET,
		.deadline = clock_ms() + 10000,
		.destination = at("127.0.0.1", 8080),
		.listening = at("127.0.0.1", 8080)};
	bool well;

	for (int i = 0; i < ENDS; i++)
		attempt.ends[i] = -1;
	well = host != -1 && scratch_link_up("lo") == 0 && connection_tcp_client_side(&attempt);
	for (int i = 0; i < ENDS; i++)
		if (attempt.ends[i] != -1)
			close(attempt.ends[i]);
	close(host);
	return well;
}

static int whole(bool own_users, void *context)
{
	struct connection connection = {.family = AF_INET};

	(void)own_users;
	(void)context;
	return reach_listener(&connection) ? DONE : WRONG;
}

static int without_listen(bool own_users, void *context)
{
	struct connection connection = {.family = AF_INET};
	int before = open_descriptors();

	(void)own_users;
	(void)context;
	if (!refuse(SYS_listen))
		return NO_FILTER;
	if (reach_listener(&connection) || open_descriptors() != before)
		return WRONG;
	return strcmp(connection.detail, "the proxy cannot listen on 127.0.0.1:8080: "
					 "No buffer space available") == 0
		       ? DONE
		       : WRONG;
}

static int without_getsockname(bool own_users, void *context)
{
	struct connection connection = {.family = AF_INET};

	(void)own_users;
	(void)context;
	if (!refuse(SYS_getsockname))
		return NO_FILTER;
	if (reach_listener(&connection))
		return WRONG;
	return strcmp(connection.detail,
		       "no local address is known for a connection to 127.0.0.1:8080: "
		       "No buffer space available") == 0
		       ? DONE
		       : WRONG;
}

static void assert_done(int (*work)(bool own_users, void *context))
{
	int status = scratch_run(work, NULL);

	if (status == -1)
		skip(); /* no scratch namespaces here */
	assert_int_equal(status, DONE);
}

static void a_listener_is_reached(void **state)
{
	(void)state;
	assert_done(whole);
}

static void a_listener_that_cannot_listen_leaves_no_descriptor(void **state)
{
	(void)state;
	assert_done(without_listen);
}

static void an_address_that_is_not_known_is_not_printed(void **state)
{
	(void)state;
	assert_done(without_getsockname);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_is_reached),
		cmocka_unit_test(a_listener_that_cannot_listen_leaves_no_descriptor),
		cmocka_unit_test(an_address_that_is_not_known_is_not_printed),
	};

	return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}

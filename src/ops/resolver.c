/*
 * Looking a name up opens files, loads code and talks to servers: all that the sandbox takes from the daemon. So where the
 * configuration has names, a process is forked before the sandbox, and does nothing else. It has the daemon's user, no
 * capability, none of its descriptors, and ends when the daemon's end of the socket is closed, however that comes about.
 *
 * The daemon waits for an answer, with a limit, since a reload cannot go on without; no thread that carries traffic waits.
 * The trap: an answer that comes too late must not be taken for that of the next question, so they are numbered.
 */
#include "resolver.h"

#include "process/privileges.h"
#include "tproxy/clock.h"
#include "tproxy/lookup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PATIENCE =
		20000 /* ms; getaddrinfo(3) asks up to three servers twice for 5 s each, by default */
};

struct question {
	unsigned number;
	int family;
	char name[LOOKUP_NAME_MAX];
};

struct answer {
	unsigned number;
	struct addr address;
	char problem[128]; /* empty: there is none */
};

/* --- the process --- */

static void answer_questions(int fd)
{
	struct question question;

	while (read(fd, &question, sizeof(question)) == sizeof(question)) {
		struct answer answer = {.number = question.number};
		const char *problem =
			lookup_by_library(NULL, question.name, question.family, &answer.address);

		if (problem != NULL)
			snprintf(answer.problem, sizeof(answer.problem), "%s", problem);
		if (write(fd, &answer, sizeof(answer)) != sizeof(answer))
			return;
	}
}

static void run(int fd, const struct identity *identity)
{
	sigset_t all;

	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	if (dup2(fd, STDERR_FILENO + 1) == -1)
		return;
	closefrom(STDERR_FILENO + 2);
	if (privileges_drop(identity, 0) == 0)
		answer_questions(STDERR_FILENO + 1);
}

/* --- the daemon --- */

/* Waits for the answer to the last question. False: there is none. */
static bool await_answer(const struct resolver *resolver, struct answer *answer)
{
	long long end = clock_ms() + PATIENCE;
	struct pollfd socket = {.fd = resolver->socket, .events = POLLIN};

	for (long long now = clock_ms(); now < end; now = clock_ms()) {
		long long rest = end - now;

		if (resolver->meanwhile != NULL)
			resolver->meanwhile(resolver->arg);
		if (resolver->meanwhile != NULL && rest > resolver->interval)
			rest = resolver->interval;
		if (poll(&socket, 1, (int)rest) == -1 && errno != EINTR)
			return false;
		if (socket.revents == 0)
			continue;
		if (read(resolver->socket, answer, sizeof(*answer)) != sizeof(*answer))
			return false;
		if (answer->number == resolver->number)
			return true;
	}
	errno = ETIMEDOUT;
	return false;
}

static const char *ask(void *context, const char *name, int family, struct addr *found)
{
	static struct answer answer;
	struct resolver *resolver = context;
	struct question question = {.number = ++resolver->number, .family = family};

	snprintf(question.name, sizeof(question.name), "%s", name);
	errno = 0;
	if (write(resolver->socket, &question, sizeof(question)) != sizeof(question) ||
		!await_answer(resolver, &answer))
		return errno == ETIMEDOUT
			       ? "no answer within 20 s"
			       : "tproxyd's process for names has ended; restart tproxyd";
	*found = answer.address;
	return answer.problem[0] == '\0' ? NULL : answer.problem;
}

static const char *do_without(void *context, const char *name, int family, struct addr *found)
{
	(void)context;
	(void)name;
	(void)family;
	(void)found;
	return "tproxyd started without names, so it has no process that looks them up; restart it, or write the address";
}

int resolver_start(struct resolver *resolver, const struct identity *identity)
{
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1)
		return -1;
	child = fork();
	if (child == 0) {
		run(ends[1], identity);
		_exit(0);
	}
	close(ends[1]);
	resolver->socket = ends[0];
	lookup_use(ask, resolver);
	if (child != -1)
		return 0;
	resolver_stop(resolver);
	return -1;
}

void resolver_do_without(struct resolver *resolver)
{
	resolver->socket = -1;
	lookup_use(do_without, NULL);
}

void resolver_stop(struct resolver *resolver)
{
	lookup_use(NULL, NULL);
	if (resolver->socket != -1)
		close(resolver->socket);
	resolver->socket = -1;
}

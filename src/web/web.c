/*
 * The order of the program's life.
 *
 * The listening socket, the password and the user are looked up first, so that what is wrong is said in the terminal. Then
 * the program forks: the parent stays what it was started as and is the helper; the child gives up every right
 * that it has and serves the page. A pair of sockets connects them. Either ends when the other one has ended.
 */
#include "web.h"
#include "routes.h"
#include "tproxy/addr.h"
#include "tproxy/exit_status.h"
#include "tproxy/text.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int control_of_helper;

/* Both sides see the end of the control socket, and end. */
static void on_signal(int number)
{
	(void)number;
	shutdown(control_of_helper, SHUT_RDWR);
}

/* --- the listening socket --- */

/* Reads ADDRESS:PORT; port 0 lets the kernel choose. */
static bool read_address(const char *word, struct addr *address)
{
	const char *colon = strrchr(word, ':');
	char *host = text_format("%.*s", colon != NULL ? (int)(colon - word) : 0, word);
	unsigned port = 0;
	bool read = colon != NULL && addr_parse(address, host) && text_number(colon + 1, &port) &&
		    port <= UINT16_MAX && (addr_family(address) == AF_INET || *word == '[');

	if (read)
		addr_set_port(address, (uint16_t)port);
	free(host);
	return read;
}

static bool is_loopback(const struct addr *address)
{
	if (addr_family(address) == AF_INET)
		return addr_bytes(address)[0] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

static int say(const char *format, const char *word, const char *reason)
{
	fputs("tproxyctl: web: ", stderr);
	fprintf(stderr, "%s '%s': %s\n", format, word, reason);
	return -1;
}

static int listen_at(int family, const void *address, socklen_t length, const char *word)
{
	int on = 1, made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (made == -1)
		return say("--bind", word, strerror(errno));
	if (family != AF_UNIX)
		setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(made, address, length) == 0 && listen(made, CONNECTIONS_MAX) == 0)
		return made;
	say("--bind", word, strerror(errno));
	close(made);
	return -1;
}

/* A socket file that no process listens at any more is replaced. */
static int listen_at_path(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat file;
	mode_t mask;
	int probe, made;

	if (strlen(path) >= sizeof(address.sun_path))
		return say("--bind", path, "the path is too long for a socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe != -1) {
		if (lstat(path, &file) == 0 && S_ISSOCK(file.st_mode) &&
			connect(probe, (const struct sockaddr *)&address, sizeof(address)) == -1 &&
			errno == ECONNREFUSED)
			unlink(path);
		close(probe);
	}
	mask = umask(0177);
	made = listen_at(AF_UNIX, &address, sizeof(address), path);
	umask(mask);
	return made;
}

static int open_listener(const char *bind)
{
	struct addr address;

	if (*bind == '/')
		return listen_at_path(bind);
	if (!read_address(bind, &address))
		return say("--bind", bind,
			"not ADDRESS:PORT, [ADDRESS]:PORT or the path of a socket from / on");
	if (!is_loopback(&address))
		return say("--bind", bind,
			"the page is served on loopback only (127.0.0.1:PORT, [::1]:PORT) or at a unix socket; "
			"from another host use `ssh -L`");
	return listen_at(addr_family(&address), &address.sa, addr_length(&address), bind);
}

/* Where it listens; false: at a unix socket. The kernel may have chosen the port. */
static bool address_of(int listener, struct addr *address)
{
	struct sockaddr_storage found = {0};
	socklen_t length = sizeof(found);

	return getsockname(listener, (struct sockaddr *)&found, &length) == 0 &&
	       addr_from_sockaddr(address, (const struct sockaddr *)&found);
}

static void print_address(const char *bind, int listener, const struct sessions *sessions)
{
	const char *token = sessions->is_password ? "" : "#token=";
	const char *secret = sessions->is_password ? "" : sessions->secret;
	char text[ADDR_TEXT_MAX];
	struct addr address;

	if (address_of(listener, &address))
		printf("The page is at http://%s/%s%s\n", addr_format(&address, text), token,
			secret);
	else
		printf("The page is at the socket %s. For a browser on another host:\n"
		       "  ssh -L 8404:%s root@THIS-HOST\n"
		       "Then open http://localhost:8404/%s%s\n",
			bind, bind, token, secret);
	fflush(stdout);
}

/* --- the two processes --- */

/* An ordinary user may have capabilities, too: a service's AmbientCapabilities=, or those of the program's file. */
static bool drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) == 0;
}

/* Gives up every right. Without, the process ends: a page with root's rights must not be served. */
static void become(const struct passwd *user)
{
	static const struct rlimit files = {4 * CONNECTIONS_MAX, 4 * CONNECTIONS_MAX},
				   none = {0, 0};

	if ((user != NULL && (setgroups(0, NULL) == -1 || setgid(user->pw_gid) == -1 ||
				     setuid(user->pw_uid) == -1 || setuid(0) == 0)) ||
		!drop_capabilities() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		chdir("/") == -1) {
		perror("tproxyctl: web: cannot become an ordinary user");
		_exit(STATUS_PROBLEM);
	}
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none); /* it would have the sessions */
}

/* Before the fork: the page's address is printed by the child, and a signal may come at once then. */
static void catch_signals(int control)
{
	struct sigaction action = {.sa_handler = on_signal};

	control_of_helper = control;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int be_helper(const struct web_options *options, int control, pid_t page)
{
	int status = 0;

	helper_serve(control, &options->helper);
	close(control);
	waitpid(page, &status, 0);
	if (*options->bind == '/')
		unlink(options->bind);
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_PROBLEM;
}

static int serve(const struct web_options *options, int listener, const struct sessions *sessions,
	const struct passwd *user)
{
	char cookie[SERVER_COOKIE_MAX];
	struct addr address = {0};
	int pair[2];
	pid_t page;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1) {
		perror("tproxyctl: web");
		return STATUS_PROBLEM;
	}
	catch_signals(pair[0]);
	page = fork();
	if (page == -1) {
		perror("tproxyctl: web");
		return STATUS_PROBLEM;
	}
	if (page > 0) {
		close(pair[1]);
		close(listener);
		return be_helper(options, pair[0], page);
	}
	close(pair[0]);
	close(options->helper.lock); /* the helper's: who holds it keeps all others from saving */
	/* Browsers send a host's cookies to all of its ports. */
	snprintf(cookie, sizeof(cookie), "tproxyctl-%u",
		address_of(listener, &address) ? addr_port(&address) : 0U);
	become(user);
	signal(SIGPIPE, SIG_IGN);
	print_address(options->bind, listener, sessions);
	_exit(server_run(options, listener, pair[1], sessions, cookie, routes_find));
}

int web_run(const struct web_options *options)
{
	struct web_options with_lock = *options;
	/* cppcheck-suppress getpwnamCalled ; there is one thread */
	const struct passwd *user = geteuid() == 0 ? getpwnam(options->user) : NULL;
	struct sessions sessions;
	int listener = -1, status = STATUS_USAGE;
	char *problem;

	sessions_begin(&sessions);
	problem = options->password != NULL ? sessions_read_password(&sessions, options->password)
					    : NULL;
	if (problem != NULL)
		say("--password-file", options->password, problem);
	else if (geteuid() == 0 && (user == NULL || user->pw_uid == 0))
		say("--user", options->user,
			user == NULL ? "there is no such user"
				     : "an ordinary user has to serve the page");
	else
		listener = open_listener(options->bind);
	with_lock.helper.lock = memfd_create("tproxyctl-web-lock", MFD_CLOEXEC);
	if (listener != -1 && with_lock.helper.lock == -1)
		perror("tproxyctl: web");
	else if (listener != -1)
		status = serve(&with_lock, listener, &sessions, user);
	free(problem);
	sessions_free(&sessions);
	return status;
}

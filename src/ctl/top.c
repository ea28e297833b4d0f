/*
 * tproxyctl top: the sessions that move most bytes, refreshed.
 *
 * A screen is made whole and written at once. The terminal is put back however the program ends but by SIGKILL: q, Ctrl-C,
 * SIGTERM, or a tproxyd that answers no more.
 *
 * The trap: two lists are of different sessions, so a rate is only known of one that is in both.
 */
#include "live.h"
#include "subcommands.h"
#include "tproxy/clock.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const char usage[] =
	"usage: tproxyctl top (--socket PATH | -f FILE) [--delay SECONDS]\n"
	"\n"
	"Shows the sessions of a running tproxyd that move most bytes, and refreshes that; q or\n"
	"Ctrl-C ends it. Where stdout is no terminal, it prints one screen and ends.\n"
	"\n"
	"  --socket PATH    the `stats socket` of tproxyd, of level operator or admin\n"
	"  -f FILE          or its configuration, which names the socket\n"
	"  --delay SECONDS  between two screens, 1 to 3600; default 1\n"
	"  -h, --help       print this help\n"
	"\n"
	"Exit status: 0 it was ended, 1 tproxyd does not answer, 2 wrong arguments or input.\n";

struct options {
	const char *socket, *file;
	int delay;
};

/* A session, and the bytes that it has moved in a second since the screen before. */
struct moving {
	const struct live_session *session;
	double in, out;
};

struct screen {
	const char *path;
	struct live_sessions sessions, before;
	long long at, before_at;
	int rows, columns; /* 0 rows: all of them */
};

/* --- the terminal --- */

static struct termios terminal_before;
static bool terminal_changed;
static volatile sig_atomic_t ended;

static void on_end(int number)
{
	(void)number;
	ended = 1;
}

static void restore_terminal(void)
{
	if (!terminal_changed)
		return;
	terminal_changed = false;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void take_terminal(void)
{
	struct sigaction action = {.sa_handler = on_end};
	struct termios raw;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	if (tcgetattr(STDIN_FILENO, &terminal_before) == 0) {
		raw = terminal_before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	terminal_changed = true;
	fputs("\033[?1049h\033[?25l", stdout);
}

/* Waits for so many seconds, or less. False: it is to end. */
static bool wait_for_key(int seconds)
{
	long long until = clock_ms() + 1000LL * seconds, left;
	struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	while (!ended && (left = until - clock_ms()) > 0) {
		int ready = poll(&keys, 1, (int)left);

		if (ready <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1)
			keys.fd = -1; /* no one types there */
		else if (key == 'q' || key == 'Q')
			return false;
	}
	return !ended;
}

static void measure_terminal(struct screen *screen)
{
	struct winsize size;

	screen->rows = 24;
	screen->columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
		screen->rows = size.ws_row;
		screen->columns = size.ws_col;
	}
}

/* --- a screen --- */

/* What a line is about comes first: 80 columns hold as much as the names of the sections. The last column follows. */
#define COLUMNS "%8s %8s %-21s %-30s %-10s %7s %8s %8s "

static int compare_ids(const void *left, const void *right)
{
	uint64_t a = ((const struct live_session *)left)->id;
	uint64_t b = ((const struct live_session *)right)->id;

	return a < b ? -1 : a > b;
}

/* Those that move most come first, then those that have moved most. */
static int compare_moving(const void *left, const void *right)
{
	const struct moving *a = left, *b = right;
	double a_rate = a->in + a->out, b_rate = b->in + b->out;
	uint64_t a_all = a->session->in + a->session->out, b_all = b->session->in + b->session->out;

	if (a_rate != b_rate)
		return a_rate > b_rate ? -1 : 1;
	if (a_all != b_all)
		return a_all > b_all ? -1 : 1;
	return a->session->id < b->session->id ? -1 : a->session->id > b->session->id;
}

static void set_rates(const struct screen *screen, struct moving *moving)
{
	const struct live_session *now = moving->session, *before = NULL;
	double seconds = (double)(screen->at - screen->before_at) / 1000;

	if (screen->before.count > 0 && seconds > 0)
		before = bsearch(now, screen->before.list, screen->before.count,
			sizeof(*screen->before.list), compare_ids);
	if (before == NULL)
		return;
	moving->in = now->in > before->in ? (double)(now->in - before->in) / seconds : 0;
	moving->out = now->out > before->out ? (double)(now->out - before->out) / seconds : 0;
}

static struct moving *sort_by_rate(struct screen *screen)
{
	struct live_sessions *sessions = &screen->sessions;
	struct moving *moving = calloc(sessions->count + 1, sizeof(*moving));

	if (moving == NULL)
		return NULL;
	if (sessions->count > 0)
		qsort(sessions->list, sessions->count, sizeof(*sessions->list), compare_ids);
	for (size_t i = 0; i < sessions->count; i++) {
		moving[i].session = &sessions->list[i];
		set_rates(screen, &moving[i]);
	}
	if (sessions->count > 0)
		qsort(moving, sessions->count, sizeof(*moving), compare_moving);
	return moving;
}

/* A line, cut where the terminal ends. */
static void put_line(const struct screen *screen, const char *line)
{
	if (screen->rows > 0)
		printf("%.*s\033[K\n", screen->columns, line);
	else
		puts(line);
}

static void put_head(const struct screen *screen, const char *info)
{
	char line[256];

	snprintf(line, sizeof(line),
		"tproxyd %llu: %zu sessions of %llu, %llu new in a second (most %llu), %llu since the start",
		live_number(info, "Pid"), screen->sessions.count, live_number(info, "Maxconn"),
		live_number(info, "SessRate"), live_number(info, "MaxSessRate"),
		live_number(info, "CumConns"));
	put_line(screen, line);
	put_line(screen, "");
	snprintf(line, sizeof(line), COLUMNS "%s", "IN/s", "OUT/s", "CLIENT",
		"FRONTEND/BACKEND/SERVER", "STATE", "AGE", "IN", "OUT", "SERVER");
	put_line(screen, line);
}

static void put_session(const struct screen *screen, const struct moving *moving)
{
	const struct live_session *session = moving->session;
	char line[512], names[256], in[16], out[16], in_rate[16], out_rate[16], age[16];

	snprintf(names, sizeof(names), "%s/%s/%s", session->frontend, session->backend,
		session->server);
	snprintf(line, sizeof(line), COLUMNS "%s", live_bytes((uint64_t)moving->in, in_rate),
		live_bytes((uint64_t)moving->out, out_rate), session->client, names, session->state,
		live_age(session->age, age), live_bytes(session->in, in),
		live_bytes(session->out, out), session->target);
	put_line(screen, line);
}

static bool put_screen(struct screen *screen)
{
	enum {
		HEAD_LINES = 3
	};
	char *info = live_ask(screen->path, "show info");
	bool done = info != NULL && live_sessions_read(&screen->sessions, screen->path);
	struct moving *moving = NULL;
	size_t count = screen->sessions.count;

	screen->at = clock_ms();
	if (done)
		moving = sort_by_rate(screen);
	if (screen->rows > 0)
		count = screen->rows > HEAD_LINES + 1 ? (size_t)(screen->rows - HEAD_LINES - 1) : 0;
	if (moving != NULL && screen->rows > 0)
		fputs("\033[H", stdout);
	if (moving != NULL)
		put_head(screen, info);
	for (size_t i = 0; moving != NULL && i < count && i < screen->sessions.count; i++)
		put_session(screen, &moving[i]);
	if (moving != NULL && screen->rows > 0)
		fputs("\033[J", stdout);
	fflush(stdout);
	free(moving);
	free(info);
	live_sessions_free(&screen->before);
	screen->before = screen->sessions;
	screen->before_at = screen->at;
	screen->sessions = (struct live_sessions){0};
	return moving != NULL;
}

static int run(const struct options *options)
{
	char *path = live_socket_path(options->socket, options->file);
	struct screen screen = {.path = path};
	bool refreshes = isatty(STDOUT_FILENO), done;

	if (path == NULL)
		return STATUS_USAGE;
	if (refreshes) {
		setvbuf(stdout, NULL, _IOFBF, 1 << 16);
		take_terminal();
	}
	do {
		if (refreshes)
			measure_terminal(&screen);
		done = put_screen(&screen);
	} while (done && refreshes && wait_for_key(options->delay));
	restore_terminal();
	if (!done && refreshes) /* what was said before went with the screen */
		fprintf(stderr, "tproxyctl: %s: tproxyd does not answer any more\n", path);
	live_sessions_free(&screen.before);
	free(path);
	return done ? STATUS_OK : STATUS_PROBLEM;
}

static bool parse_delay(const char *text, int *delay)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || seconds < 1 || seconds > 3600) {
		fprintf(stderr,
			"tproxyctl: --delay is a number of seconds from 1 to 3600, not '%s'\n",
			text);
		return false;
	}
	*delay = (int)seconds;
	return true;
}

int top_command(int argc, char **argv)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"delay", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options options = {.delay = 1};
	int c, status;

	while ((c = getopt_long(argc, argv, "hf:", known, NULL)) != -1) {
		switch (c) {
		case 's':
			options.socket = optarg;
			break;
		case 'f':
			options.file = optarg;
			break;
		case 'd':
			if (!parse_delay(optarg, &options.delay))
				return subcommand_refused(argv[0]);
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return subcommand_refused(argv[0]);
		}
	}
	status = subcommand_options_only(argc, argv);
	return status != -1 ? status : run(&options);
}

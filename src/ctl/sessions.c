/*
 * tproxyctl sessions: the sessions of a running tproxyd, with the addresses of both sides.
 */
#include "live.h"
#include "subcommands.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: tproxyctl sessions (--socket PATH | -f FILE) [--json]\n"
	"\n"
	"Lists the sessions of a running tproxyd, and its flows of datagrams: the client, where it\n"
	"connected to, from which address tproxyd connects, to which server; state, bytes and age.\n"
	"\n"
	"  --socket PATH  the `stats socket` of tproxyd, of level operator or admin\n"
	"  -f FILE        or its configuration, which names the socket\n"
	"  --json         print JSON\n"
	"  -h, --help     print this help\n"
	"\n"
	"Exit status: 0 they are listed, 1 tproxyd does not answer, 2 wrong arguments or input.\n";

static void print_text(const struct live_sessions *sessions)
{
	printf("%-12s %-5s %-25s %-25s %-25s %-25s %-24s %-10s %8s %8s %8s %8s\n", "ID", "PROTO",
		"CLIENT", "DESTINATION", "SOURCE", "SERVER", "FRONTEND/BACKEND/SERVER", "STATE",
		"IN", "OUT", "AGE", "IDLE");
	for (size_t i = 0; i < sessions->count; i++) {
		const struct live_session *each = &sessions->list[i];
		char name[256], in[16], out[16], age[16], idle[16];

		snprintf(name, sizeof(name), "%s/%s/%s", each->frontend, each->backend,
			each->server);
		printf("%#-12" PRIx64 " %-5s %-25s %-25s %-25s %-25s %-24s %-10s %8s %8s %8s %8s\n",
			each->id, each->protocol, each->client, each->destination, each->source,
			each->target, name, each->state, live_bytes(each->in, in),
			live_bytes(each->out, out), live_age(each->age, age),
			live_age(each->idle, idle));
	}
	printf("%zu session%s\n", sessions->count, sessions->count == 1 ? "" : "s");
}

static json_t *json_of(const struct live_session *session)
{
	char id[32];

	snprintf(id, sizeof(id), "%#" PRIx64, session->id);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}",
		"id", id, "protocol", session->protocol, "client", session->client, "destination",
		session->destination, "frontend", session->frontend, "backend", session->backend,
		"server", session->server, "source", session->source, "target", session->target,
		"state", session->state, "bytes_in", (json_int_t)session->in, "bytes_out",
		(json_int_t)session->out, "age_ms", (json_int_t)session->age, "idle_ms",
		(json_int_t)session->idle);
}

static void print_json(const struct live_sessions *sessions)
{
	json_t *root = json_object(), *list = json_array();

	for (size_t i = 0; i < sessions->count; i++)
		json_array_append_new(list, json_of(&sessions->list[i]));
	json_object_set_new(root, "sessions", list);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static int list_sessions(const char *socket, const char *file, bool json)
{
	struct live_sessions sessions;
	char *path = live_socket_path(socket, file);
	bool done;

	if (path == NULL)
		return STATUS_USAGE;
	done = live_sessions_read(&sessions, path);
	free(path);
	if (!done)
		return STATUS_PROBLEM;
	(json ? print_json : print_text)(&sessions);
	live_sessions_free(&sessions);
	return STATUS_OK;
}

int sessions_command(int argc, char **argv)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *socket = NULL, *file = NULL;
	bool json = false;
	int c, status;

	while ((c = getopt_long(argc, argv, "hf:", known, NULL)) != -1) {
		switch (c) {
		case 's':
			socket = optarg;
			break;
		case 'f':
			file = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return STATUS_OK;
		default:
			return subcommand_refused(argv[0]);
		}
	}
	status = subcommand_options_only(argc, argv);
	return status != -1 ? status : list_sessions(socket, file, json);
}

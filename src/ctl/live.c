/*
 * The daemon says a line for each session, of words `key=value`. The answer is read whole, and then taken apart in place.
 */
#include "live.h"

#include "tproxy/config.h"
#include "tproxy/diag.h"
#include "web/stats_socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- where --- */

static char *path_of(const struct config *config)
{
	for (size_t i = 0; i < config->global.stats_socket_count; i++)
		if (config->global.stats_sockets[i].level >= STATS_OPERATOR)
			return strdup(config->global.stats_sockets[i].path);
	return NULL;
}

char *live_socket_path(const char *socket, const char *file)
{
	struct diag *diag;
	struct config *config;
	char *path = NULL;

	if (socket != NULL)
		return strdup(socket);
	if (file == NULL) {
		fputs("tproxyctl: which tproxyd? Write --socket PATH, that of its `stats socket`, or -f FILE, its configuration\n",
			stderr);
		return NULL;
	}
	diag = diag_new();
	config = diag == NULL ? NULL : config_load(file, diag);
	if (config == NULL && diag != NULL)
		diag_print(diag, stderr);
	if (config != NULL) {
		path = path_of(config);
		if (path == NULL)
			fprintf(stderr,
				"tproxyctl: %s has no `stats socket` of level operator or admin; add `stats socket /run/tproxyd.sock level operator` to `global`\n",
				file);
	}
	config_free(config);
	diag_free(diag);
	return path;
}

/* --- asking --- */

char *live_ask(const char *path, const char *command)
{
	char *answer = stats_socket_ask(path, command);

	if (answer == NULL)
		fprintf(stderr, "tproxyctl: %s: %s%s\n", path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED
				? "; is tproxyd running, with this path as its `stats socket`?"
			: errno == EACCES ? "; run tproxyctl as root, or as the socket's user"
					  : "");
	return answer;
}

unsigned long long live_number(const char *info, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = info; line != NULL && *line != '\0';
		line = strchr(line, '\n') == NULL ? NULL : strchr(line, '\n') + 1)
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return strtoull(line + length + 1, NULL, 10);
	return 0;
}

/* --- sessions --- */

static void take_word(struct live_session *session, const char *key, const char *value)
{
	static const struct {
		const char *key;
		size_t offset;
	} texts[] =
		{
			{"proto", offsetof(struct live_session, protocol)},
			{"src", offsetof(struct live_session, client)},
			{"dst", offsetof(struct live_session, destination)},
			{"fe", offsetof(struct live_session, frontend)},
			{"be", offsetof(struct live_session, backend)},
			{"srv", offsetof(struct live_session, server)},
			{"from", offsetof(struct live_session, source)},
			{"to", offsetof(struct live_session, target)},
			{"state", offsetof(struct live_session, state)},
		},
	  numbers[] = {
		  {"in", offsetof(struct live_session, in)},
		  {"out", offsetof(struct live_session, out)},
		  {"age_ms", offsetof(struct live_session, age)},
		  {"idle_ms", offsetof(struct live_session, idle)},
	  };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(key, texts[i].key) == 0)
			*(const char **)((char *)session + texts[i].offset) = value;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0)
			*(uint64_t *)((char *)session + numbers[i].offset) =
				strtoull(value, NULL, 10);
}

/* "0x81: proto=tcpv4 src=…". False: it is another line, a message say. */
static bool parse_session(char *line, struct live_session *session)
{
	char *rest = NULL, *word, *end = NULL;

	if (strncmp(line, "0x", 2) != 0)
		return false;
	word = strtok_r(line, " ", &rest);
	*session = (struct live_session){.protocol = "",
		.client = "",
		.destination = "",
		.frontend = "",
		.backend = "",
		.server = "",
		.source = "",
		.target = "",
		.state = ""};
	session->id = strtoull(word, &end, 16);
	if (session->id == 0 || strcmp(end, ":") != 0)
		return false;
	while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
		char *value = strchr(word, '=');

		if (value == NULL)
			continue;
		*value = '\0';
		take_word(session, word, value + 1);
	}
	return true;
}

static bool add_session(struct live_sessions *sessions, const struct live_session *session)
{
	struct live_session *grown = sessions->list;

	if ((sessions->count & (sessions->count - 1)) == 0)
		grown = realloc(sessions->list,
			(sessions->count == 0 ? 1 : 2 * sessions->count) * sizeof(*grown));
	if (grown == NULL) {
		fputs("tproxyctl: out of memory\n", stderr);
		return false;
	}
	sessions->list = grown;
	sessions->list[sessions->count++] = *session;
	return true;
}

bool live_sessions_read(struct live_sessions *sessions, const char *path)
{
	char *rest = NULL, *line;
	struct live_session session;

	*sessions = (struct live_sessions){.text = live_ask(path, "show sess")};
	if (sessions->text == NULL)
		return false;
	for (line = strtok_r(sessions->text, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		if (parse_session(line, &session)) {
			if (add_session(sessions, &session))
				continue;
		} else {
			fprintf(stderr, "tproxyctl: %s: %s%s\n", path, line,
				strcmp(line, "Permission denied") == 0
					? "; its `stats socket` needs `level operator`"
					: "");
		}
		live_sessions_free(sessions);
		return false;
	}
	return true;
}

void live_sessions_free(struct live_sessions *sessions)
{
	free(sessions->list);
	free(sessions->text);
	*sessions = (struct live_sessions){0};
}

/* --- for people --- */

const char *live_bytes(uint64_t bytes, char out[16])
{
	static const char units[] = "kMGTPE";
	double value = (double)bytes;
	int unit = -1;

	for (; value >= 1000 && unit < 5; unit++)
		value /= 1000;
	if (unit == -1)
		snprintf(out, 16, "%" PRIu64, bytes);
	else
		snprintf(out, 16, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return out;
}

const char *live_age(uint64_t milliseconds, char out[16])
{
	unsigned long long seconds = milliseconds / 1000;

	if (seconds < 60)
		snprintf(out, 16, "%llus", seconds);
	else if (seconds < 3600)
		snprintf(out, 16, "%llum%02llus", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(out, 16, "%lluh%02llum", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(out, 16, "%llud%02lluh", seconds / 86400 % 100000, seconds / 3600 % 24);
	return out;
}

/*
 * Who has logged in.
 *
 * The list is short and fixed, so that logins cost no memory; cookies are compared in constant time, one after
 * the other.
 */
#include "sessions.h"
#include "tproxy/file.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

void sessions_random(char secret[GUARD_SECRET_TEXT])
{
	unsigned char bytes[(GUARD_SECRET_TEXT - 1) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		perror("tproxyctl: getrandom");
		abort();
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
}

void sessions_begin(struct sessions *sessions)
{
	char token[GUARD_SECRET_TEXT];

	sessions_random(token);
	*sessions = (struct sessions){.secret = text_copy(token)};
}

char *sessions_read_password(struct sessions *sessions, const char *path)
{
	struct stat file;
	size_t length;
	char *text = file_read_regular(path, &length);

	if (text == NULL || stat(path, &file) == -1) {
		free(text);
		return text_copy(strerror(errno));
	}
	text[strcspn(text, "\r\n")] = '\0';
	if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		free(text);
		return text_copy("other users may read it; run chmod 600 on it");
	}
	if (strlen(text) < PASSWORD_MIN) {
		free(text);
		return text_format("its first line has fewer than %d characters", PASSWORD_MIN);
	}
	free(sessions->secret);
	sessions->secret = text;
	sessions->is_password = true;
	return NULL;
}

static struct session *find_place(struct sessions *sessions)
{
	struct session *place = &sessions->list[0];

	for (size_t i = 1; i < SESSIONS_MAX; i++)
		if (sessions->list[i].used < place->used)
			place = &sessions->list[i];
	return place;
}

enum login sessions_login(
	struct sessions *sessions, const char *given, time_t now, const struct session **made)
{
	struct session *session;

	if (now - sessions->counting >= LOGIN_PAUSE_S) {
		sessions->counting = now;
		sessions->failures = 0;
	}
	if (sessions->is_password && sessions->failures >= LOGIN_FAILURES_MAX)
		return LOGIN_PAUSED;
	if (!guard_same_secret(given, sessions->secret)) {
		sessions->failures++;
		return LOGIN_WRONG;
	}
	session = find_place(sessions);
	sessions_random(session->cookie);
	sessions_random(session->csrf);
	session->used = now;
	*made = session;
	return LOGIN_DONE;
}

struct session *sessions_find(struct sessions *sessions, const char *cookie, time_t now)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->list[i];

		if (session->used == 0 || !guard_same_secret(cookie, session->cookie))
			continue;
		if (now - session->used >= SESSION_IDLE_S) {
			session_end(session);
			return NULL;
		}
		session->used = now;
		return session;
	}
	return NULL;
}

void session_end(struct session *session)
{
	*session = (struct session){0};
}

void sessions_free(struct sessions *sessions)
{
	free(sessions->secret);
	*sessions = (struct sessions){0};
}

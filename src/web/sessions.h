/*
 * Who has logged in: sessions of browsers, and the secret that begins one.
 *
 * The secret is a token that the program made and printed, or the first line of a password file. A session is a random
 * cookie, and a CSRF token that our page alone can read. Sessions end after SESSION_IDLE_S without a request, and when
 * the program ends; the one that was idle longest gives way to a new one where all places are taken.
 */
#ifndef TPROXY_WEB_SESSIONS_H
#define TPROXY_WEB_SESSIONS_H

#include "guard.h"

#include <time.h>

enum {
	SESSIONS_MAX = 64,
	SESSION_IDLE_S = 12 * 3600,
	LOGIN_FAILURES_MAX =
		10, /* wrong passwords in LOGIN_PAUSE_S; tokens are too long to guess */
	LOGIN_PAUSE_S = 60,
	PASSWORD_MIN = 8
};

struct session {
	char cookie[GUARD_SECRET_TEXT], csrf[GUARD_SECRET_TEXT];
	time_t used; /* 0: the place is free */
};

struct sessions {
	char *secret;
	bool is_password;
	unsigned failures; /* since `counting` */
	time_t counting;
	struct session list[SESSIONS_MAX];
};

/* 64 random hexadecimal digits. Without random numbers of the kernel the program ends. */
void sessions_random(char secret[GUARD_SECRET_TEXT]);

/* Makes the token. */
void sessions_begin(struct sessions *sessions);

/* Takes the password of a file instead. NULL, or what is wrong with the file, to be freed. */
char *sessions_read_password(struct sessions *sessions, const char *path);

enum login {
	LOGIN_DONE,
	LOGIN_WRONG,
	LOGIN_PAUSED /* too many wrong passwords: not even looked at */
};

/* Compares GIVEN with the secret; LOGIN_DONE: *MADE is a new session, good until the next call. NOW: seconds. */
enum login sessions_login(
	struct sessions *sessions, const char *given, time_t now, const struct session **made);

/* The session with that cookie, which is used at NOW; NULL: there is none. */
struct session *sessions_find(struct sessions *sessions, const char *cookie, time_t now);

void session_end(struct session *session);

void sessions_free(struct sessions *sessions);

#endif

/*
 * Requests to the admin page, as browsers and others send them: the first line's target, Host, Origin, Sec-Fetch-Site, Cookie,
 * Content-Type, and the body, a line each. What is let in is used as the page uses it: a query's values, a cookie in the
 * list of sessions, a text and a change of it.
 */
#include "edit/difference.h"
#include "edit/edit.h"
#include "fuzz.h"
#include "tproxy/json.h"
#include "tproxy/text.h"
#include "web/sessions.h"

#include <ctype.h>
#include <strings.h>

/* What is let in has no other character than the page's own addresses have. */
static void check_target(const char *target)
{
	struct guard_target parts;
	char value[16];

	if (!guard_target(target, &parts))
		return;
	if (parts.path[0] != '/' || strlen(parts.path) >= sizeof(parts.path) ||
		strpbrk(parts.path, "%?&<> ") != NULL)
		abort();
	if (guard_query(parts.query, "id", value, sizeof(value)) &&
		(*value == '\0' || strlen(value) >= sizeof(value) ||
			strpbrk(value, "/%&<> ") != NULL))
		abort();
}

/* A host that is let in is one of loopback, and its origin is the only one. */
static void check_origin(const char *host, const char *origin)
{
	if (guard_host(host) && strncasecmp(host, "localhost", 9) != 0 &&
		strncmp(host, "127.", 4) != 0 && strncmp(host, "[::1]", 5) != 0)
		abort();
	if (guard_origin(origin, host) && strlen(origin) != strlen("http://") + strlen(host))
		abort();
}

/* A session is never guessed. */
static void check_cookie(const char *header)
{
	static struct sessions sessions;
	const struct session *session;
	char value[GUARD_SECRET_TEXT];

	if (sessions.secret == NULL) {
		sessions_begin(&sessions);
		sessions_login(&sessions, sessions.secret, 1, &session);
	}
	if (!guard_cookie(header, "tproxyctl-8404", value))
		return;
	for (const char *at = value; *at != '\0'; at++)
		if (!isxdigit((unsigned char)*at))
			abort();
	if (strlen(value) != GUARD_SECRET_TEXT - 1 || sessions_find(&sessions, value, 2) != NULL)
		abort();
}

/* As POST /api/config/change. */
static void use_body(const char *body)
{
	json_t *request = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	const char *text = json_text(request, "text");
	size_t length;
	char *problem = NULL, *changed = NULL;

	if (json_is_object(json_object_get(request, "change")))
		changed = edit_change(
			text, strlen(text), json_object_get(request, "change"), &length, &problem);
	if (changed != NULL)
		json_decref(difference_rows(text, strlen(text), changed, length, 3));
	json_decref(edit_describe(text, strlen(text)));
	free(changed);
	free(problem);
	json_decref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *whole = fuzz_text(data, size);
	const char *at = whole;
	char *lines[6] = {NULL};

	for (size_t i = 0; i < 6; i++) {
		lines[i] = text_line(&at);
		if (lines[i] == NULL)
			lines[i] = text_copy("");
	}
	check_target(lines[0]);
	check_origin(lines[1], lines[2]);
	guard_fetch_site(lines[3]);
	check_cookie(lines[4]);
	if (guard_is_json(lines[5]) && strncasecmp(lines[5], "application/json", 16) != 0)
		abort();
	use_body(at != NULL ? at : "");
	for (size_t i = 0; i < 6; i++)
		free(lines[i]);
	free(whole);
	return 0;
}

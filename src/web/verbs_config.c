/*
 * Verbs about the configuration's file: reading it, its versions, and saving it.
 *
 * Saving is one turn: the text is read by the daemon's own parser, as the daemon will read it; it takes the file's place if
 * the file is still the one that the editing began with; the proxy reads it. Where that fails, the text
 * before is put back and the proxy reads that.
 */
#include "edit/versions.h"
#include "reloading.h"
#include "tproxy/config.h"
#include "tproxy/digest.h"
#include "tproxy/file.h"
#include "tproxy/json.h"
#include "tproxy/lookup.h"
#include "tproxy/text.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MAX = 1 << 20 /* bytes that the page edits */
};

/* PROBLEM is freed. */
static json_t *refuse(int status, char *problem)
{
	json_t *answer = helper_refusal(status, "%s", problem != NULL ? problem : "");

	free(problem);
	return answer;
}

/* {"status": 200, "text", "version"}, or why the page cannot show a text. */
static json_t *answer_text(const char *text, size_t length)
{
	char digest[DIGEST_TEXT];
	json_t *shown = length <= TEXT_MAX ? json_stringn(text, length) : NULL;

	if (length > TEXT_MAX)
		return helper_refusal(
			422, "the file has more than %d bytes: edit it in a terminal", TEXT_MAX);
	if (shown == NULL || strlen(text) != length) {
		json_decref(shown);
		return helper_refusal(422,
			"the file has bytes that are no text in UTF-8, and this page would change them: edit it in a terminal, or convert it with iconv");
	}
	digest_text(text, length, digest);
	return json_pack("{s:i, s:o, s:s}", "status", 200, "text", shown, "version", digest);
}

/* The file's text, to be freed; a file that is not there is empty. NULL with errno. */
static char *read_file(const char *path, size_t *length)
{
	char *text = file_read_regular(path, length);

	if (text != NULL || errno != ENOENT)
		return text;
	*length = 0;
	return text_copy("");
}

json_t *verb_read(const struct helper_settings *settings, const json_t *call)
{
	size_t length;
	char *text = read_file(settings->config, &length);
	json_t *answer;

	(void)call;
	if (text == NULL)
		return helper_refusal(422, "%s: %s", settings->config, strerror(errno));
	answer = answer_text(text, length);
	free(text);
	return answer;
}

json_t *verb_versions(const struct helper_settings *settings, const json_t *call)
{
	char *problem = NULL;
	json_t *list = versions_list(settings->config, settings->versions, &problem);

	(void)call;
	return list != NULL ? json_pack("{s:i, s:o}", "status", 200, "versions", list)
			    : refuse(502, problem);
}

json_t *verb_version(const struct helper_settings *settings, const json_t *call)
{
	char *problem = NULL;
	size_t length;
	char *text = versions_read(
		settings->config, settings->versions, json_text(call, "id"), &length, &problem);
	json_t *answer = text != NULL ? answer_text(text, length) : refuse(404, problem);

	free(text);
	return answer;
}

/* --- saving --- */

/* Where errors go, and the name of the file that they may quote. */
struct error_list {
	const char *path;
	json_t *errors;
};

/* The configuration may name any file, as `acl … -f` does, and this process may read it: those who ask may not. */
static json_t *message_of(const struct error_list *list, const char *text)
{
	size_t length = strlen(list->path);

	if (strncmp(text, list->path, length) == 0 && text[length] == ':')
		return json_string(text);
	return json_string(
		"a file that the text names is wrong; in a terminal `tproxyd -c` says what is wrong there");
}

static void add_message(void *arg, enum diag_severity severity, const char *text)
{
	struct error_list *list = arg;
	json_t *message = severity == DIAG_ERROR ? message_of(list, text) : NULL;
	size_t count = json_array_size(list->errors);

	/* One message for all lines of such a file. */
	if (message != NULL && !json_equal(message, json_array_get(list->errors, count - 1)))
		json_array_append(list->errors, message);
	json_decref(message);
}

/* The daemon's errors, an array to be freed; empty: it would take the text. */
static json_t *errors_of(const char *path, const char *text, size_t length)
{
	struct diag *diag = diag_new();
	struct config *config = NULL;
	json_t *errors = json_array();
	struct error_list list = {path, errors};

	lookup_use(lookup_by_library, NULL);
	if (diag != NULL) {
		config = config_parse(path, text, length, diag);
		diag_report(diag, add_message, &list);
	}
	if (config == NULL && json_array_size(errors) == 0)
		json_array_append_new(errors, json_string("out of memory"));
	config_free(config);
	diag_free(diag);
	return errors;
}

/* Another text is in the file. */
static json_t *answer_stale(const char *other, size_t length)
{
	json_t *answer = answer_text(other, length);

	if (json_integer_value(json_object_get(answer, "status")) == 200) {
		json_object_set_new(answer, "status", json_integer(409));
		json_object_set_new(answer, "message",
			json_string(
				"the file was changed since you began: look at the difference"));
	}
	return answer;
}

/* The proxy does not take the text: what was in the file goes back there. */
static json_t *take_back(const struct helper_settings *settings, const char *before, size_t length,
	const char *now, char *problem)
{
	char *other = NULL, *failure = NULL, *again = NULL;
	size_t other_length;
	json_t *answer;

	if (versions_save(settings->config, settings->versions, before, length, now, "taken back",
		    &other, &other_length, &failure) != SAVE_DONE)
		answer = helper_refusal(502,
			"the proxy did not take the file (%s), and it cannot be taken back: %s",
			problem, failure != NULL ? failure : "it was changed meanwhile");
	else {
		reloading_run(settings, &again);
		answer = helper_refusal(502,
			"the proxy did not take the file, so the one before is back: %s%s%s",
			problem, again != NULL ? "; the proxy does not take that one either: " : "",
			again != NULL ? again : "");
	}
	free(other);
	free(failure);
	free(again);
	free(problem);
	return answer;
}

/* The file has the new text. */
static json_t *reload(
	const struct helper_settings *settings, const char *before, size_t length, const char *now)
{
	char *problem = NULL;
	enum reloading result = reloading_run(settings, &problem);

	if (result == RELOADING_FAILED)
		return take_back(settings, before, length, now, problem);
	return json_pack("{s:i, s:s, s:b}", "status", 200, "version", now, "reloaded",
		result == RELOADING_DONE);
}

static json_t *save(const struct helper_settings *settings, const char *text, size_t length,
	const char *base, const char *who)
{
	size_t before_length, other_length;
	char *before = read_file(settings->config, &before_length), *other = NULL, *problem = NULL;
	char now[DIGEST_TEXT];
	json_t *answer = NULL;

	if (before == NULL)
		return helper_refusal(422, "%s: %s", settings->config, strerror(errno));
	digest_text(text, length, now);
	switch (versions_save(settings->config, settings->versions, text, length, base, who, &other,
		&other_length, &problem)) {
	case SAVE_DONE:
		answer = reload(settings, before, before_length, now);
		break;
	case SAVE_STALE:
		answer = answer_stale(other, other_length);
		break;
	case SAVE_FAILED:
		answer = refuse(502, problem);
	}
	free(other);
	free(before);
	return answer;
}

json_t *verb_save(const struct helper_settings *settings, const json_t *call)
{
	const char *text = json_text(call, "text");
	size_t length = strlen(text);
	json_t *errors;

	if (length > TEXT_MAX)
		return helper_refusal(422, "the text has more than %d bytes", TEXT_MAX);
	helper_take_turn(settings->lock);
	errors = errors_of(settings->config, text, length);
	if (json_array_size(errors) > 0)
		return json_pack("{s:i, s:s, s:o}", "status", 422, "message",
			"the proxy would not take this text, so it was not saved", "errors",
			errors);
	json_decref(errors);
	return save(settings, text, length, json_text(call, "base"), json_text(call, "who"));
}

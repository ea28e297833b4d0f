/*
 * Answers about the configuration: its text, what it says, changes of it, and versions.
 *
 * Texts that browsers send are read and changed here, in the process without rights, and kept nowhere: the draft is the
 * browser's. The helper reads and writes the file alone. Each text goes with what it says ("describe"), so that forms and
 * errors are always those of the text beside them.
 */
#include "edit/difference.h"
#include "edit/edit.h"
#include "routes.h"
#include "tproxy/json.h"

#include <stdlib.h>
#include <string.h>

enum {
	CONTEXT = 3,
	ID_MAX = 128
};

static json_t *with_description(const json_t *answer)
{
	json_t *body = json_deep_copy(answer);
	const char *text = json_text(answer, "text");

	json_object_set_new(body, "describe", edit_describe(text, strlen(text)));
	return body;
}

static json_t *describe_file(const json_t *answer, int *status)
{
	(void)status;
	return with_description(answer);
}

void api_config(struct request *request)
{
	server_call(request, json_pack("{s:s}", "verb", "read"), describe_file);
}

/* The text at KEY of the body; NULL where it was answered. */
static const char *take_text(struct request *request, const char *key)
{
	const char *text = json_string_value(json_object_get(request->body, key));

	if (text == NULL)
		reply_message(&request->reply, 400, "\"%s\" is missing", key);
	return text;
}

void api_config_check(struct request *request)
{
	const char *text = take_text(request, "text");

	if (text != NULL)
		reply_json(&request->reply, 200,
			json_pack("{s:o}", "describe", edit_describe(text, strlen(text))));
}

void api_config_change(struct request *request)
{
	const char *text = take_text(request, "text");
	const json_t *change = json_object_get(request->body, "change");
	size_t length;
	char *changed, *problem = NULL;
	json_t *answer;

	if (text == NULL)
		return;
	if (!json_is_object(change)) {
		reply_message(&request->reply, 400, "\"change\" is missing");
		return;
	}
	changed = edit_change(text, strlen(text), change, &length, &problem);
	if (changed == NULL) {
		reply_message(&request->reply, 422, "%s", problem);
		free(problem);
		return;
	}
	answer = json_pack("{s:s}", "text", changed);
	json_object_set_new(
		answer, "rows", difference_rows(text, strlen(text), changed, length, CONTEXT));
	json_object_set_new(answer, "describe", edit_describe(changed, length));
	reply_json(&request->reply, 200, answer);
	free(changed);
}

void api_config_difference(struct request *request)
{
	const char *from = take_text(request, "from");
	const char *to = from != NULL ? take_text(request, "to") : NULL;

	if (to != NULL)
		reply_json(&request->reply, 200,
			json_pack("{s:o}", "rows",
				difference_rows(from, strlen(from), to, strlen(to), CONTEXT)));
}

/* Who saves is who has the session; the version says by which way. */
void api_config_save(struct request *request)
{
	const char *text = take_text(request, "text");
	const char *base = text != NULL ? take_text(request, "base") : NULL;

	if (base != NULL)
		server_call(request,
			json_pack("{s:s, s:s, s:s, s:s}", "verb", "save", "text", text, "base",
				base, "who", "page"),
			NULL);
}

void api_versions(struct request *request)
{
	server_call(request, json_pack("{s:s}", "verb", "versions"), NULL);
}

void api_version(struct request *request)
{
	char id[ID_MAX];

	if (guard_query(request->query, "id", id, sizeof(id)))
		server_call(request, json_pack("{s:s, s:s}", "verb", "version", "id", id), NULL);
	else
		reply_message(&request->reply, 400, "name a version: ?id=ID");
}

/*
 * The fixed list of what the helper does.
 */
#include "verbs.h"
#include "tproxy/json.h"

#include <string.h>

static const struct {
	const char *name;
	json_t *(*run)(const struct helper_settings *settings, const json_t *call);
} verbs[] = {
	{"check", verb_check},
	{"plan", verb_plan},
	{"prove", verb_prove},
	{"apply", verb_apply},
	{"revert", verb_revert},
	{"fix", verb_fix},
	{"stats", verb_stats},
	{"read", verb_read},
	{"versions", verb_versions},
	{"version", verb_version},
	{"save", verb_save},
};

json_t *helper_verb(const struct helper_settings *settings, const json_t *call)
{
	const char *name = json_text(call, "verb");

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return verbs[i].run(settings, call);
	return helper_refusal(404, "the helper has no such verb");
}

/*
 * Edits of a configuration's text: the bytes up to the first NUL are a list of changes in JSON, those behind it the text.
 *
 * Each text is described, and each change is made of what the one before left. A text that came of a change must be one that can
 * be changed again, and its difference from the one before must be none exactly if they are the same.
 */
#include "fuzz.h"

#include "edit/difference.h"
#include "edit/edit.h"

#include <stdbool.h>

/* Makes the change, and puts the new text in place of *TEXT. False: it was refused. */
static bool make_change(char **text, size_t *length, const json_t *change)
{
	size_t changed_length;
	char *problem, *difference;
	char *changed = edit_change(*text, *length, change, &changed_length, &problem);

	if ((changed == NULL) == (problem == NULL))
		abort();
	free(problem);
	if (changed == NULL)
		return false;
	difference = difference_unified("old", *text, *length, "new", changed, changed_length);
	if ((*difference == '\0') !=
		(*length == changed_length && memcmp(*text, changed, *length) == 0))
		abort();
	free(difference);
	free(*text);
	*text = changed;
	*length = changed_length;
	return true;
}

/* A change that does nothing is refused only where the text has errors, which no change may have left. */
static void expect_no_errors(const char *text, size_t length)
{
	json_t *nothing = json_pack("{s:s, s:s}", "op", "remove-farm", "name", "no such farm");
	size_t unused;
	char *problem, *changed = edit_change(text, length, nothing, &unused, &problem);

	if (changed != NULL || problem == NULL || strncmp(problem, "no farm", 7) != 0)
		abort();
	free(problem);
	json_decref(nothing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *json = fuzz_text(data, size), *text;
	size_t skipped = strlen(json) + 1, length = skipped < size ? size - skipped : 0;
	json_t *changes = json_loads(json, 0, NULL);

	text = fuzz_text(data + (size - length), length);
	json_decref(edit_describe(text, length));
	for (size_t i = 0; i < json_array_size(changes) && i < 8; i++)
		if (make_change(&text, &length, json_array_get(changes, i)))
			expect_no_errors(text, length);
	free(text);
	free(json);
	json_decref(changes);
	return 0;
}

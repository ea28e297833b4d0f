/*
 * What verbs share: refusing, and taking turns.
 *
 * The lock is one of fcntl(2), which belongs to a process: each call has its own, so the lock ends with the call.
 */
#include "verb_base.h"
#include "helper.h"
#include "tproxy/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

json_t *helper_refusal(int status, const char *format, ...)
{
	char *text = NULL;
	json_t *made;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) == -1)
		text = NULL;
	va_end(arguments);
	/* A text of others may have any bytes. */
	made = json_pack("{s:i, s:s}", "status", status, "message", text != NULL ? text : "");
	if (made == NULL && text != NULL) {
		text_make_plain(text);
		made = json_pack("{s:i, s:s}", "status", status, "message", text);
	}
	free(text);
	return made;
}

void helper_take_turn(int lock)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(lock, F_SETLKW, &whole) == -1)
		continue; /* interrupted */
	alarm(HELPER_SECONDS_MAX); /* what was waited is not taken from the time that saving and reloading need */
}

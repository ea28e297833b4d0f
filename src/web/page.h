/*
 * The files of the page, compiled into this program (src/web/page).
 */
#ifndef TPROXY_WEB_PAGE_H
#define TPROXY_WEB_PAGE_H

#include <stddef.h>

struct page_file {
	const char *path; /* as browsers ask for it */
	const char *type; /* its media type */
	const char *begin, *end;
};

/* The file at PATH, or NULL. */
const struct page_file *page_find(const char *path);

#endif

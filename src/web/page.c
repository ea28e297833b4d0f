/*
 * The files of the page, which the assembler takes in as they are. A file that is new has two rows here; the Makefile
 * compiles this again when one of them changes. The paths are from the root of the tree, where make compiles.
 */
#include "page.h"

#include <string.h>

#define INCLUDE(name, file)                                                                        \
	__asm__(".section .rodata\n"                                                               \
		".global page_" #name "\n"                                                         \
		"page_" #name ":\n"                                                                \
		".incbin \"src/web/page/" file "\"\n"                                              \
		".global page_" #name "_end\n"                                                     \
		"page_" #name "_end:\n"                                                            \
		".byte 0\n"                                                                        \
		".previous\n");                                                                    \
	extern const char page_##name[], page_##name##_end[]

INCLUDE(index, "index.html");
INCLUDE(style, "style.css");
INCLUDE(tabs, "tabs.css");
INCLUDE(icon, "icon.svg");
INCLUDE(main, "main.js");
INCLUDE(common, "common.js");
INCLUDE(live, "live.js");
INCLUDE(plots, "plots.js");
INCLUDE(admin, "admin.js");
INCLUDE(listeners, "listeners.js");
INCLUDE(farms, "farms.js");
INCLUDE(forms, "forms.js");
INCLUDE(text, "text.js");
INCLUDE(editor, "editor.js");
INCLUDE(saving, "saving.js");
INCLUDE(host, "host.js");

#define SCRIPT "text/javascript; charset=utf-8"

static const struct page_file files[] = {
	{"/", "text/html; charset=utf-8", page_index, page_index_end},
	{"/style.css", "text/css; charset=utf-8", page_style, page_style_end},
	{"/tabs.css", "text/css; charset=utf-8", page_tabs, page_tabs_end},
	{"/icon.svg", "image/svg+xml", page_icon, page_icon_end},
	{"/main.js", SCRIPT, page_main, page_main_end},
	{"/common.js", SCRIPT, page_common, page_common_end},
	{"/live.js", SCRIPT, page_live, page_live_end},
	{"/plots.js", SCRIPT, page_plots, page_plots_end},
	{"/admin.js", SCRIPT, page_admin, page_admin_end},
	{"/listeners.js", SCRIPT, page_listeners, page_listeners_end},
	{"/farms.js", SCRIPT, page_farms, page_farms_end},
	{"/forms.js", SCRIPT, page_forms, page_forms_end},
	{"/text.js", SCRIPT, page_text, page_text_end},
	{"/editor.js", SCRIPT, page_editor, page_editor_end},
	{"/saving.js", SCRIPT, page_saving, page_saving_end},
	{"/host.js", SCRIPT, page_host, page_host_end},
};

const struct page_file *page_find(const char *path)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}

/*
 * What can be asked for. A path of the page's own files is looked up by server.c.
 */
#include "routes.h"

#include <string.h>

static const struct route routes[] = {
	{"/api/login", true, true, api_login},
	{"/api/logout", true, false, api_logout},
	{"/api/session", false, false, api_session},
	{"/api/config", false, false, api_config},
	{"/api/config/check", true, false, api_config_check},
	{"/api/config/change", true, false, api_config_change},
	{"/api/config/difference", true, false, api_config_difference},
	{"/api/config/save", true, false, api_config_save},
	{"/api/versions", false, false, api_versions},
	{"/api/versions/text", false, false, api_version},
	{"/api/live", false, false, api_live},
	{"/api/live/sessions", false, false, api_live_sessions},
	{"/api/host/check", false, false, api_host_check},
	{"/api/host/plan", false, false, api_host_plan},
	{"/api/host/prove", false, false, api_host_prove},
	{"/api/host/apply", true, false, api_host_apply},
	{"/api/host/revert", true, false, api_host_revert},
	{"/api/host/fix", true, false, api_host_fix},
};

const struct route *routes_find(const char *path, bool posts)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (routes[i].posts == posts && strcmp(routes[i].path, path) == 0)
			return &routes[i];
	return NULL;
}

/*
 * What can be asked for: paths, methods, and whether a session is needed.
 */
#ifndef TPROXY_WEB_ROUTES_H
#define TPROXY_WEB_ROUTES_H

#include "server.h"

const struct route *routes_find(const char *path, bool posts); /* a route_finder */

/* Handlers by what they are about. */
handler api_login, api_logout, api_session;
handler api_config, api_config_check, api_config_change, api_config_difference, api_config_save;
handler api_versions, api_version;
handler api_live, api_live_sessions;
handler api_host_check, api_host_plan, api_host_prove, api_host_apply, api_host_revert,
	api_host_fix;

#endif

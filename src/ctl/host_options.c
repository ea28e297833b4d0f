/*
 * Reads the options that say what is to be served.
 *
 * Either a configuration says it, tproxyd's or another proxy's, or the command line does. Both at once are refused, because they may
 * disagree; --client goes with both.
 */
#include "host_options.h"
#include "hoststate/foreign_files.h"
#include "subcommands.h"
#include "tproxy/lookup.h"
#include "tproxy/shell.h"
#include "tproxy/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_to_service(struct service *service, int c, const char *argument)
{
	switch (c) {
	case HOST_OPTION_LISTEN:
		return service_add_listener(service, argument);
	case HOST_OPTION_SERVER:
		return service_add_server(service, argument);
	default:
		return service_add_client(service, argument);
	}
}

static void refuse(struct host_options *options, int c, const char *argument)
{
	static const char *const names[] = {"listen", "server", "client"};
	static const char *const forms[] = {"ADDRESS:PORT or ADDRESS:PORT/udp, IPv6 in brackets",
		"ADDRESS or ADDRESS:PORT, IPv6 with a port in brackets", "ADDRESS"};
	int which = c - HOST_OPTION_LISTEN;

	fprintf(stderr, "tproxyctl: --%s '%s': not %s\n", names[which], argument, forms[which]);
	options->wrong = true;
}

bool host_option(struct host_options *options, int c, const char *argument)
{
	if (c < HOST_OPTION_CONFIG || c > HOST_OPTION_NO_SPOOF)
		return false;
	if (c == HOST_OPTION_INTERCEPT)
		options->intercepts = true;
	else if (c == HOST_OPTION_NO_SPOOF)
		options->no_spoof = true;
	else if (c == HOST_OPTION_CONFIG || c == HOST_OPTION_HAPROXY || c == HOST_OPTION_NGINX) {
		if (options->file != NULL) {
			fputs("tproxyctl: --config, --haproxy or --nginx may be given once\n",
				stderr);
			options->wrong = true;
		}
		options->file = argument;
		options->kind = c;
	} else if (add_to_service(&options->service, c, argument) == -1)
		refuse(options, c, argument);
	return true;
}

static int load_config(struct host_options *options)
{
	struct diag *diag = diag_new();

	if (diag == NULL)
		return -1;
	lookup_use(lookup_by_library, NULL);
	options->config = config_load(options->file, diag);
	if (options->config != NULL)
		service_add_config(&options->service, options->config, options->file);
	diag_print(diag, stderr);
	diag_free(diag);
	return options->config != NULL ? 0 : -1;
}

/* Another proxy's configuration. What was skipped is reported. */
static int load_foreign(struct host_options *options)
{
	char *notes = NULL;
	const char *at;
	bool read = options->kind == HOST_OPTION_HAPROXY
			    ? service_add_haproxy(&options->service, options->file, &notes)
			    : service_add_nginx(&options->service, options->file, &notes);

	if (!read)
		fprintf(stderr, "tproxyctl: %s: %s\n", options->file, strerror(errno));
	at = notes;
	for (char *line; at != NULL && (line = text_line(&at)) != NULL; free(line)) {
		char *shown = shell_printable(line);

		fprintf(stderr, "tproxyctl: %s\n", shown);
		free(shown);
	}
	free(notes);
	if (read && options->service.listener_count == 0) {
		fprintf(stderr, "tproxyctl: %s: no listener with an address and a port\n",
			options->file);
		return -1;
	}
	return read ? 0 : -1;
}

static int refuse_both(void)
{
	fputs("tproxyctl: use either --config, --haproxy or --nginx, or --listen and --server, not both; with a "
	      "configuration, --server is for servers at 0.0.0.0 alone, as an example of where clients connect to\n",
		stderr);
	return STATUS_USAGE;
}

static int load_file(struct host_options *options)
{
	if (options->kind != HOST_OPTION_CONFIG)
		return load_foreign(options);
	if (load_config(options) == 0)
		return 0;
	fputs("tproxyctl: --config reads configurations of tproxyd; for another proxy use "
	      "--haproxy, --nginx, or --listen and --server\n",
		stderr);
	return -1;
}

int host_options_finish(struct host_options *options)
{
	struct service *service = &options->service;
	bool has_servers = service->server_count > 0;

	if (options->wrong)
		return STATUS_USAGE;
	if ((options->intercepts || options->no_spoof) && service->listener_count == 0) {
		fputs("tproxyctl: --intercept and --no-spoof are for --listen\n", stderr);
		return STATUS_USAGE;
	}
	if (options->file != NULL && service->listener_count > 0)
		return refuse_both();
	if (options->file != NULL && load_file(options) == -1)
		return STATUS_USAGE;
	if (options->file != NULL)
		return has_servers && !service->intercepts ? refuse_both() : STATUS_OK;
	if (service->listener_count == 0)
		service_add_example(service);
	else {
		service->intercepts = options->intercepts;
		service->spoofs = (has_servers || options->intercepts) && !options->no_spoof;
		for (size_t i = 0; options->no_spoof && i < service->server_count; i++)
			service->sources[i] = addr_any(addr_family(&service->servers[i]));
	}
	return STATUS_OK;
}

void host_options_free(struct host_options *options)
{
	if (options->config != NULL)
		config_free(options->config);
	service_free(&options->service);
	*options = (struct host_options){0};
}

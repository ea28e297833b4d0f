/*
 * Reads the options that say what is to be served.
 *
 * Either a configuration says it or the command line does. Both at once are refused, because they may
 * disagree; --client goes with both.
 */
#include "host_options.h"
#include "subcommands.h"
#include "tproxy/lookup.h"

#include <stdio.h>

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
	if (c < HOST_OPTION_CONFIG || c > HOST_OPTION_CLIENT)
		return false;
	if (c == HOST_OPTION_CONFIG) {
		if (options->file != NULL) {
			fputs("tproxyctl: --config may be given once\n", stderr);
			options->wrong = true;
		}
		options->file = argument;
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

static int refuse_both(void)
{
	fputs("tproxyctl: use either --config, or --listen and --server, not both; with --config, "
	      "--server is for servers at 0.0.0.0 alone, as an example of where clients connect to\n",
		stderr);
	return STATUS_USAGE;
}

int host_options_finish(struct host_options *options)
{
	struct service *service = &options->service;

	bool has_servers = service->server_count > 0;

	if (options->wrong)
		return STATUS_USAGE;
	if (options->file != NULL && service->listener_count > 0)
		return refuse_both();
	if (options->file != NULL && load_config(options) == -1) {
		fputs("tproxyctl: --config reads configurations of tproxyd; for another proxy use "
		      "--listen and --server\n",
			stderr);
		return STATUS_USAGE;
	}
	if (options->file != NULL)
		return has_servers && !service->intercepts ? refuse_both() : STATUS_OK;
	if (service->listener_count == 0)
		service_add_example(service);
	else
		service->spoofs = service->server_count > 0;
	return STATUS_OK;
}

void host_options_free(struct host_options *options)
{
	if (options->config != NULL)
		config_free(options->config);
	service_free(&options->service);
	*options = (struct host_options){0};
}

/*
 * The configuration: parsed, printed as by `tproxyd -c`, asked whether it needs IP_TRANSPARENT, its rules about two
 * connections, and its formats.
 */
#include "fuzz.h"
#include "tproxy/config.h"

#include <stdio.h>

static unsigned count_servers(void *context, const struct proxy *backend)
{
	(void)context;
	return (unsigned)backend->server_count;
}

static void ask_rules(const struct client_rules *rules)
{
	static const char *const addresses[] = {"198.51.100.7", "2001:db8::7"};

	for (size_t i = 0; i < rules->count; i++)
		for (size_t j = 0; j < 2; j++) {
			struct connection_facts facts = {.usable_servers = count_servers};

			if (!addr_parse(&facts.source, addresses[j]))
				abort();
			condition_holds(&rules->list[i].condition, &facts);
		}
}

static void write_formats(const struct proxy *proxy)
{
	static const struct log_values log = {.frontend_name = "f", .server_name = "s\"]"};
	struct format_values values = {.authority = {"host", 4}, .log = &log};
	char out[64];

	if (!addr_parse(&values.source, "2001:db8::7"))
		abort();
	value_format_write(&proxy->unique_id, &values, out, sizeof(out));
	value_format_write(&proxy->log_format, &values, out, sizeof(out));
	for (size_t i = 0; i < proxy->server_count; i++) {
		const struct header_fields *fields = &proxy->servers[i].send_proxy_fields;

		for (size_t j = 0; j < fields->count; j++)
			value_format_write(&fields->list[j].value, &values, out, sizeof(out));
	}
}

static void use(const struct config *config)
{
	FILE *out = fopen("/dev/null", "w");

	if (out == NULL)
		abort();
	config_print(config, out);
	config_needs_transparent(config);
	for (size_t i = 0; i < config->proxy_count; i++) {
		for (int stage = 0; stage < STAGE_COUNT; stage++)
			ask_rules(&config->proxies[i].rules[stage]);
		write_formats(&config->proxies[i]);
	}
	fclose(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag *diag = diag_new();
	struct config *config;

	if (diag == NULL)
		abort();
	config = config_parse("fuzz.cfg", (const char *)data, size, diag);
	if (config != NULL)
		use(config);
	config_free(config);
	diag_free(diag);
	return 0;
}

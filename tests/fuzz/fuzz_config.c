/*
 * The configuration: parsed, printed as by `tproxyd -c`, and asked whether it needs IP_TRANSPARENT.
 */
#include "fuzz.h"
#include "tproxy/config.h"

#include <stdio.h>

static void use(const struct config *config)
{
	FILE *out = fopen("/dev/null", "w");

	if (out == NULL)
		abort();
	config_print(config, out);
	config_needs_transparent(config);
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

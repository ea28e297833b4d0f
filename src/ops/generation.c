/* A generation's life. The daemon fills it, the workers' shares count themselves. */
#include "generation.h"

#include <stdlib.h>

struct generation *generation_new(struct config *config)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (generation == NULL) {
		config_free(config);
		return NULL;
	}
	generation->config = config;
	atomic_init(&generation->users, 0);
	atomic_init(&generation->flows, 0);
	atomic_init(&generation->silent, false);
	return generation;
}

void generation_free(struct generation *generation)
{
	if (generation == NULL)
		return;
	log_free(generation->log);
	limits_free(generation->limits);
	tallies_free(generation->tallies);
	counterparts_free(generation->counterparts);
	config_free(generation->config);
	free(generation);
}

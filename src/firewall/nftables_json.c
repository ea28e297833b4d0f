/*
 * Members of nft's JSON objects.
 */
#include "nftables.h"

#include "tproxy/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int nft_family(const char *name)
{
	if (strcmp(name, "ip") == 0)
		return AF_INET;
	if (strcmp(name, "ip6") == 0)
		return AF_INET6;
	return strcmp(name, "inet") == 0 ? AF_UNSPEC : -1;
}

char *nft_format(const char *name, const json_t *value)
{
	char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text = dump == NULL || json_is_null(value) ? text_copy(name)
							 : text_format("%s %s", name, dump);

	free(dump);
	return text;
}

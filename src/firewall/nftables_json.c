/*
 * Values of nft's JSON objects, for matches and statements.
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
	return strcmp(name, "inet") == 0 || strcmp(name, "netdev") == 0 ? AF_UNSPEC : -1;
}

bool nft_uint(const json_t *value, json_int_t most, uint32_t *number)
{
	json_int_t integer = json_integer_value(value);

	*number = (uint32_t)integer;
	return json_is_integer(value) && integer >= 0 && integer <= most;
}

char *nft_format(const char *name, const json_t *value)
{
	char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text = dump == NULL || json_is_null(value) ? text_copy(name)
							 : text_format("%s %s", name, dump);

	free(dump);
	return text;
}

/*
 * PROXY headers, as they come from anybody who can connect. What is read is written again, and must be read as the
 * same; and no beginning of a header may be malformed.
 */
#include "fuzz.h"
#include "tproxy/proxy_header.h"

static void check_written(const struct proxy_header *header, enum proxy_header_version version)
{
	char text[PROXY_HEADER_WRITTEN_MAX];
	struct proxy_header again;
	size_t length = proxy_header_write(text, version, &header->source, &header->destination);

	if (proxy_header_parse(&again, text, length) != PROXY_HEADER_WHOLE ||
		again.length != length || !addr_equal(&again.source, &header->source) ||
		!addr_equal(&again.destination, &header->destination))
		abort();
}

/* With the fields that may be passed on, and a checksum. */
static void check_fields(const struct proxy_header *header)
{
	static const char no_sum[PROXY_CHECKSUM_LENGTH];
	char text[1024];
	struct proxy_header again;
	size_t length =
		proxy_header_write(text, PROXY_HEADER_V2, &header->source, &header->destination);

	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_AUTHORITY,
		header->authority.value, header->authority.length);
	length = proxy_header_add(
		text, length, sizeof(text), PROXY_FIELD_CRC32C, no_sum, sizeof(no_sum));
	length = proxy_header_add(text, length, sizeof(text), PROXY_FIELD_UNIQUE_ID,
		header->unique_id.value, header->unique_id.length);
	proxy_header_sum(text, length);
	if (proxy_header_parse(&again, text, length) != PROXY_HEADER_WHOLE ||
		again.length != length || again.authority.length != header->authority.length ||
		again.unique_id.length != header->unique_id.length)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy =
		malloc(size + (size == 0)); /* of its own size, so that a read past it is seen */
	struct proxy_header header, part;

	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	if (proxy_header_parse(&header, copy, size) == PROXY_HEADER_WHOLE) {
		for (size_t cut = 0; cut < header.length && cut < 300; cut++)
			if (proxy_header_parse(&part, data, cut) != PROXY_HEADER_PARTIAL ||
				part.length <= cut)
				abort();
		if (addr_family(&header.source) != AF_UNSPEC) {
			check_written(&header, PROXY_HEADER_V1);
			check_written(&header, PROXY_HEADER_V2);
			check_fields(&header);
		}
	}
	free(copy);
	return 0;
}

/*
 * Addresses first, then fields in HAProxy's order: the checksum, the client's authority, the unique id, and what
 * `set-proxy-v2-tlv-fmt` adds. Fields that came from the client are passed on only where an option says so, as HAProxy
 * does: they are the client's word.
 */
#include "server_header.h"

#include "destination.h"

enum {
	FIELD_MAX = 1024,                 /* bytes of a value by a format */
	ID_MAX = PROXY_UNIQUE_ID_MAX - 1, /* as HAProxy cuts it */
};

static struct format_values values_of(const struct session *session, const struct addr *destination)
{
	struct proxy_header own = {0};

	if (session->header.bytes != NULL)
		proxy_header_parse(&own, session->header.bytes, session->header.length);
	return (struct format_values){.source = session->client,
		.destination = *destination,
		.came_at = session->accepted_at.tv_sec,
		.authority = own.authority,
		.unique_id = own.unique_id};
}

static size_t add_formatted(char *out, size_t length, unsigned type,
	const struct value_format *format, const struct format_values *values, size_t most)
{
	char value[FIELD_MAX];

	return proxy_header_add(out, length, SERVER_HEADER_MAX, type, value,
		value_format_write(format, values, value, most));
}

static size_t add_fields(
	const struct session *session, const struct addr *destination, char *out, size_t length)
{
	static const char no_sum[PROXY_CHECKSUM_LENGTH];
	const struct header_fields *fields = &session->server->send_proxy_fields;
	struct format_values values = values_of(session, destination);

	if (fields->checksum)
		length = proxy_header_add(
			out, length, SERVER_HEADER_MAX, PROXY_FIELD_CRC32C, no_sum, sizeof(no_sum));
	if (fields->authority && values.authority.length > 0)
		length = proxy_header_add(out, length, SERVER_HEADER_MAX, PROXY_FIELD_AUTHORITY,
			values.authority.value, values.authority.length);
	if (fields->unique_id)
		length = add_formatted(out, length, PROXY_FIELD_UNIQUE_ID,
			&session->frontend->unique_id, &values, ID_MAX);
	for (size_t i = 0; i < fields->count; i++)
		length = add_formatted(out, length, fields->list[i].type, &fields->list[i].value,
			&values, FIELD_MAX);
	if (fields->checksum)
		proxy_header_sum(out, length);
	return length;
}

size_t server_header_write(const struct session *session, char out[SERVER_HEADER_MAX])
{
	enum proxy_header_version version = session->server->send_proxy;
	struct addr destination;
	size_t length;

	if (!destination_asked(session, &destination))
		return 0;
	length = proxy_header_write(out, version, &session->client, &destination);
	return version == PROXY_HEADER_V2 ? add_fields(session, &destination, out, length) : length;
}

/*
 * Captured packets: two bytes of protocol as on the wire (0x0800, 0x86dd, 0x0806), then the packet from
 * its network header on. It is read on two links, incoming and outgoing, for every kind of captured address.
 */
#include "fuzz.h"
#include "watch/capture.h"

#include <netinet/in.h>

enum {
	WATCHED = 4
};

static struct captured look_out_for(const char *address, uint16_t port, int protocol)
{
	struct captured captured = {.protocol = protocol};

	if (!addr_parse(&captured.address, address))
		abort();
	addr_set_port(&captured.address, port);
	return captured;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct captured list[WATCHED] = {
		look_out_for("192.0.2.80", 80, IPPROTO_TCP),
		look_out_for("192.0.2.80", 53, IPPROTO_UDP),
		look_out_for("2001:db8:f::80", 80, IPPROTO_TCP),
		look_out_for("0.0.0.0", 8000, IPPROTO_TCP),
	};
	unsigned protocol;
	unsigned char *frame;

	if (size < 2)
		return 0;
	protocol = (unsigned)data[0] << 8 | data[1];
	frame = malloc(
		size - 2 + (size == 2)); /* of its own size, so that a read past it is seen */
	if (frame == NULL)
		abort();
	memcpy(frame, data + 2, size - 2);
	capture_frame(list, WATCHED, protocol, frame, size - 2, "eth0", false);
	capture_frame(list, WATCHED, protocol, frame, size - 2, "br0", true);
	free(frame);
	return 0;
}

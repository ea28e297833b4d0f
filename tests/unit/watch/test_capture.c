/*
 * Captured packets: made by hand, complete and cut off anywhere.
 */
#include "frames.h"

#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

enum {
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	SOLICIT = 135,
	ADVERTISE = 136
};

static const char client6[] = "2001:db8:c::7", vip6[] = "2001:db8:f::80", other6[] = "2001:db8::1";

/* The IP header of either family, and ports; EXTENSIONS are of IPv6, the first one's number in NEXT. */
static struct frame begun(const char *to, int protocol, size_t payload)
{
	struct frame frame = {.protocol = strchr(to, ':') != NULL ? ETH_P_IPV6 : ETH_P_IP};

	if (frame.protocol == ETH_P_IP) {
		put(&frame, (unsigned char[]){0x45, 0}, 2);
		put_number(&frame, 20 + (unsigned)payload);
		put(&frame, (unsigned char[]){0, 0, 0, 0, 64, (unsigned char)protocol, 0, 0}, 8);
		put_ip(&frame, client4);
	} else {
		put(&frame, (unsigned char[]){0x60, 0, 0, 0}, 4);
		put_number(&frame, (unsigned)payload);
		put(&frame, (unsigned char[]){(unsigned char)protocol, 255}, 2);
		put_ip(&frame, client6);
	}
	put_ip(&frame, to);
	return frame;
}

static void put_tcp(struct frame *frame, unsigned port, unsigned char flags)
{
	put_number(frame, 40000);
	put_number(frame, port);
	put(frame, (unsigned char[]){0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 255, 255, 0, 0, 0, 0},
		16);
}

static struct frame tcp(const char *to, unsigned port, unsigned char flags)
{
	struct frame frame = begun(to, IPPROTO_TCP, 20);

	put_tcp(&frame, port, flags);
	return frame;
}

static struct frame udp(const char *to, unsigned port)
{
	struct frame frame = begun(to, IPPROTO_UDP, 8);

	put_number(&frame, 40000);
	put_number(&frame, port);
	put(&frame, "\0\10\0\0", 4);
	return frame;
}

static struct frame neighbour(unsigned char type, const char *target)
{
	struct frame frame = begun("ff02::1:ff00:80", IPPROTO_ICMPV6, 24);

	put(&frame, (unsigned char[]){type, 0, 0, 0, 0, 0, 0, 0}, 8);
	put_ip(&frame, target);
	return frame;
}

/* IPv6 with extension headers: their bytes, the first one's number before them. */
static struct frame extended(unsigned char first, const void *extensions, size_t length)
{
	struct frame frame = begun(vip6, first, length + 20);

	put(&frame, extensions, length);
	put_tcp(&frame, 80, SYN);
	return frame;
}

/* LENGTH bytes of it, and not one more that could be read. */
static void take_part(struct captured *list, size_t count, const struct frame *frame, size_t length,
	const char *link, bool outgoing)
{
	unsigned char *part = malloc(length != 0 ? length : 1);

	assert_non_null(part);
	memcpy(part, frame->bytes, length);
	capture_frame(list, count, frame->protocol, part, length, link, outgoing);
	free(part);
}

static void take(struct captured *captured, struct frame frame)
{
	take_part(captured, 1, &frame, frame.length, "client0", false);
}

static void send_out(struct captured *captured, struct frame frame)
{
	take_part(captured, 1, &frame, frame.length, "client0", true);
}

static void requests_are_seen_with_sender_and_link(void **state)
{
	static const char *const ips[] = {vip4, vip6}, *const clients[] = {client4, client6};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct captured vip = captured(ips[i], IPPROTO_TCP);
		struct addr from = at(clients[i], 40000);

		take(&vip, tcp(ips[i], 80, SYN));
		assert_seen(&vip, 0, 0, 1);
		assert_true(addr_equal(&vip.from, &from));
		assert_string_equal(vip.packet_link, "client0");
	}
}

static void only_what_begins_a_connection_counts(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	take(&vip, tcp(vip4, 80, SYN | ACK));
	take(&vip, tcp(vip4, 80, ACK));
	take(&vip, tcp(vip4, 80, SYN | RST));
	take(&vip, tcp(vip4, 81, SYN));
	take(&vip, tcp(other4, 80, SYN));
	take(&vip, udp(vip4, 80));
	send_out(&vip, tcp(vip4, 80, SYN));
	assert_seen(&vip, 0, 0, 0);
	take(&vip, tcp(vip4, 80, SYN | 0xc0)); /* with ECN */
	assert_seen(&vip, 0, 0, 1);
}

static void any_datagram_begins_something(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_UDP), six = captured(vip6, IPPROTO_UDP);

	(void)state;
	take(&vip, udp(vip4, 80));
	take(&vip, udp(vip4, 80));
	take(&vip, udp(vip4, 81));
	take(&vip, tcp(vip4, 80, SYN));
	send_out(&vip, udp(vip4, 80));
	assert_seen(&vip, 0, 0, 2);
	take(&six, udp(vip6, 80));
	assert_seen(&six, 0, 0, 1);
}

static void the_wildcard_is_every_address_of_its_family(void **state)
{
	struct captured any = captured("0.0.0.0", IPPROTO_TCP), six = captured("::", IPPROTO_TCP);

	(void)state;
	take(&any, tcp(other4, 80, SYN));
	take(&any, tcp(vip4, 80, SYN));
	take(&any, tcp(vip4, 81, SYN));
	take(&any, tcp(vip6, 80, SYN));
	take(&any, arp(REQUEST, client4, vip4));
	take(&any, arp(REQUEST, client4, "0.0.0.0"));
	assert_seen(&any, 0, 0, 2);
	take(&six, tcp(vip4, 80, SYN));
	assert_seen(&six, 0, 0, 0);
	take(&six, tcp(other6, 80, SYN));
	assert_seen(&six, 0, 0, 1);
}

static void each_of_several_has_its_own(void **state)
{
	struct captured list[3] = {captured(vip4, IPPROTO_TCP), captured(vip4, IPPROTO_UDP),
		captured(other4, IPPROTO_TCP)};
	struct frame frame = tcp(vip4, 80, SYN), question = arp(REQUEST, client4, vip4);

	(void)state;
	take_part(list, 3, &frame, frame.length, "client0", false);
	take_part(list, 3, &question, question.length, "client0", false);
	assert_seen(&list[0], 1, 0, 1);
	assert_seen(&list[1], 1, 0, 0);
	assert_seen(&list[2], 0, 0, 0);
}

static void requests_and_this_hosts_replies_are_seen(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	take(&vip, arp(REQUEST, client4, vip4));
	assert_seen(&vip, 1, 0, 0);
	assert_string_equal(vip.request_link, "client0");
	take(&vip, arp(REQUEST, client4, other4));
	take(&vip, arp(REPLY, vip4, client4)); /* another host has it */
	send_out(&vip, arp(REQUEST, client4, vip4));
	send_out(&vip, arp(REPLY, other4, client4));
	assert_seen(&vip, 1, 0, 0);
	send_out(&vip, arp(REPLY, vip4, client4));
	assert_seen(&vip, 1, 1, 0);
}

static void an_announcement_is_not_a_request(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	take(&vip, arp(REQUEST, vip4, vip4));
	assert_seen(&vip, 0, 0, 0);
	send_out(&vip, arp(REQUEST, vip4, vip4));
	assert_seen(&vip, 0, 1, 0);
	take(&vip, arp(REQUEST, "0.0.0.0", vip4)); /* is it taken? (RFC 5227) */
	assert_seen(&vip, 1, 1, 0);
}

static void neighbour_discovery_is_seen(void **state)
{
	struct captured vip = captured(vip6, IPPROTO_TCP);
	struct frame far = neighbour(SOLICIT, vip6);

	(void)state;
	take(&vip, neighbour(SOLICIT, other6));
	take(&vip, neighbour(ADVERTISE, vip6));
	send_out(&vip, neighbour(SOLICIT, vip6));
	far.bytes[7] = 254; /* a router let it through: RFC 4861, section 7.1.1 */
	take(&vip, far);
	assert_seen(&vip, 0, 0, 0);
	take(&vip, neighbour(SOLICIT, vip6));
	assert_seen(&vip, 1, 0, 0);
	send_out(&vip, neighbour(ADVERTISE, vip6));
	assert_seen(&vip, 1, 1, 0);
}

/* A bond's link, the bond and a bridge: one question and one request, thrice seen. */
static void stacked_links_do_not_count_twice(void **state)
{
	static const char *const links[] = {"eth0", "bond0", "br0"};
	struct frame question = arp(REQUEST, client4, vip4), request = tcp(vip4, 80, SYN);
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		take_part(&vip, 1, &question, question.length, links[i % 3], false);
		take_part(&vip, 1, &request, request.length, links[i % 3], false);
	}
	assert_seen(&vip, 2, 0, 2);
	assert_string_equal(vip.request_link, "br0");
	assert_string_equal(vip.packet_link, "br0");
}

/* The capture may end before the bridge has got what its port got. */
static void the_first_of_stacked_links_does_not_take_the_name_back(void **state)
{
	static const char *const links[] = {"eth0", "br0", "eth0"};
	struct frame question = arp(REQUEST, client4, vip4), request = tcp(vip4, 80, SYN);
	struct captured vip = captured(vip4, IPPROTO_TCP);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		take_part(&vip, 1, &question, question.length, links[i], false);
		take_part(&vip, 1, &request, request.length, links[i], false);
	}
	assert_seen(&vip, 2, 0, 2);
	assert_string_equal(vip.request_link, "br0");
	assert_string_equal(vip.packet_link, "br0");
}

static void options_of_ipv4_are_skipped(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);
	struct frame frame = begun(vip4, IPPROTO_TCP, 24);

	(void)state;
	frame.bytes[0] = 0x46;
	put(&frame, "\1\1\1\0", 4);
	put_tcp(&frame, 80, SYN);
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 1);
	frame.bytes[0] = 0x66;
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 1);
}

/* Where its header ended before the address, that would be port 80, and a SYN behind it. */
static void a_header_is_not_shorter_than_itself(void **state)
{
	struct captured vip = captured("192.0.0.80", IPPROTO_TCP);
	struct frame frame = tcp("192.0.0.80", 81, SYN);

	(void)state;
	frame.bytes[16 + 13] = SYN;
	frame.bytes[0] = 0x44;
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 0);
}

static void extension_headers_are_skipped(void **state)
{
	static const unsigned char options[24] = {
		[0] = IPPROTO_DSTOPTS, [8] = IPPROTO_TCP, [9] = 1};
	static const unsigned char routing[8] = {IPPROTO_TCP}, fragment[8] = {IPPROTO_TCP, 0, 0, 1};
	static const unsigned char authentic[24] = {IPPROTO_TCP, 4};
	struct captured vip = captured(vip6, IPPROTO_TCP);

	(void)state;
	take(&vip, extended(IPPROTO_HOPOPTS, options, sizeof(options)));
	take(&vip, extended(IPPROTO_ROUTING, routing, sizeof(routing)));
	take(&vip, extended(IPPROTO_FRAGMENT, fragment, sizeof(fragment)));
	take(&vip, extended(IPPROTO_AH, authentic, sizeof(authentic)));
	assert_seen(&vip, 0, 0, 4);
}

static void a_jumbograms_length_is_in_its_option(void **state)
{
	static const unsigned char jumbo[] = {IPPROTO_UDP, 0, 0xc2, 4, 0, 1, 0, 8};
	struct captured vip = captured(vip6, IPPROTO_UDP);
	struct frame frame = begun(vip6, IPPROTO_HOPOPTS, 0);

	(void)state;
	put(&frame, jumbo, sizeof(jumbo));
	put_number(&frame, 40000);
	put_number(&frame, 80);
	put(&frame, "\0\0\0\0", 4);
	take(&vip, frame);
	assert_int_equal(vip.packets, 1);
	/* Without that header, 0 is the length. */
	frame = udp(vip6, 80);
	frame.bytes[4] = frame.bytes[5] = 0;
	take(&vip, frame);
	assert_int_equal(vip.packets, 1);
}

static void no_packet_has_twenty_extension_headers(void **state)
{
	static const unsigned char twenty[160] = {[152] = IPPROTO_TCP};
	struct captured vip = captured(vip6, IPPROTO_TCP);

	(void)state;
	take(&vip, extended(IPPROTO_HOPOPTS, twenty, sizeof(twenty)));
	assert_seen(&vip, 0, 0, 0);
}

static void later_fragments_have_no_ports(void **state)
{
	static const unsigned char fragment[8] = {IPPROTO_TCP, 0, 0, 8};
	struct captured vip = captured(vip4, IPPROTO_TCP), six = captured(vip6, IPPROTO_TCP);
	struct frame frame = tcp(vip4, 80, SYN);

	(void)state;
	take(&six, extended(IPPROTO_FRAGMENT, fragment, sizeof(fragment)));
	assert_seen(&six, 0, 0, 0);
	frame.bytes[7] = 1;
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 0);
	frame.bytes[7] = 0;
	frame.bytes[6] = 0x20; /* the first of some */
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 1);
}

static void padding_is_not_part_of_the_packet(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP), six = captured(vip6, IPPROTO_TCP);
	struct frame frame = tcp(vip4, 80, SYN);

	(void)state;
	frame.bytes[3] = 20; /* its header alone: padding follows */
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 0);
	frame = tcp(vip6, 80, SYN);
	frame.bytes[5] = 8;
	take(&six, frame);
	assert_seen(&six, 0, 0, 0);
}

static void vlan_tags_are_skipped(void **state)
{
	struct captured vip = captured(vip4, IPPROTO_TCP);
	struct frame inner = tcp(vip4, 80, SYN), frame = {.protocol = ETH_P_8021AD};

	(void)state;
	put(&frame, "\0\1\x81\0\0\2\10\0", 8);
	put(&frame, inner.bytes, inner.length);
	take(&vip, frame);
	assert_seen(&vip, 0, 0, 1);
}

/* Every beginning of a frame is taken without a byte behind it being read; ENOUGH of them count. */
static void assert_cut_anywhere(struct frame frame, const char *ip, bool outgoing, size_t enough)
{
	int protocol = frame.bytes[9] == IPPROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP;

	for (size_t length = 0; length <= frame.length; length++) {
		struct captured vip = captured(ip, protocol);

		take_part(&vip, 1, &frame, length, "client0", outgoing);
		assert_int_equal(vip.requests + vip.replies + vip.packets, length >= enough);
	}
}

static void a_frame_may_be_cut_off_anywhere(void **state)
{
	static const unsigned char options[16] = {[0] = IPPROTO_TCP, [1] = 1};
	static const unsigned char authentic[24] = {IPPROTO_TCP, 4};
	struct frame inner = tcp(vip4, 80, SYN), tagged = {.protocol = ETH_P_8021Q};

	(void)state;
	put(&tagged, "\0\1\10\0", 4);
	put(&tagged, inner.bytes, inner.length);
	assert_cut_anywhere(tcp(vip4, 80, SYN), vip4, false, 34);
	assert_cut_anywhere(udp(vip4, 80), vip4, false, 28);
	assert_cut_anywhere(tcp(vip6, 80, SYN), vip6, false, 54);
	assert_cut_anywhere(arp(REQUEST, client4, vip4), vip4, false, 28);
	assert_cut_anywhere(arp(REPLY, vip4, client4), vip4, true, 28);
	assert_cut_anywhere(neighbour(SOLICIT, vip6), vip6, false, 64);
	assert_cut_anywhere(neighbour(ADVERTISE, vip6), vip6, true, 64);
	assert_cut_anywhere(
		extended(IPPROTO_HOPOPTS, options, sizeof(options)), vip6, false, 40 + 16 + 14);
	assert_cut_anywhere(
		extended(IPPROTO_AH, authentic, sizeof(authentic)), vip6, false, 40 + 24 + 14);
	assert_cut_anywhere(tagged, vip4, false, 38);
}

/* Frames with some bytes wrong, cut off somewhere; the same ones in each run. */
static void nonsense_is_harmless(void **state)
{
	static const unsigned char options[16] = {[0] = IPPROTO_TCP, [1] = 1};
	struct frame frames[] = {tcp(vip4, 80, SYN), udp(vip6, 80), arp(REQUEST, client4, vip4),
		neighbour(SOLICIT, vip6), extended(IPPROTO_HOPOPTS, options, sizeof(options))};
	struct captured list[] = {captured(vip4, IPPROTO_TCP), captured("::", IPPROTO_UDP)};
	unsigned short seed[3] = {1, 2, 3};

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct frame frame = frames[i % 5];

		for (long wrong = nrand48(seed) % 4; wrong >= 0; wrong--)
			frame.bytes[(size_t)nrand48(seed) % frame.length] =
				(unsigned char)nrand48(seed);
		take_part(list, 2, &frame, (size_t)nrand48(seed) % (frame.length + 1), "client0",
			i % 2 == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_seen_with_sender_and_link),
		cmocka_unit_test(only_what_begins_a_connection_counts),
		cmocka_unit_test(any_datagram_begins_something),
		cmocka_unit_test(the_wildcard_is_every_address_of_its_family),
		cmocka_unit_test(each_of_several_has_its_own),
		cmocka_unit_test(requests_and_this_hosts_replies_are_seen),
		cmocka_unit_test(an_announcement_is_not_a_request),
		cmocka_unit_test(neighbour_discovery_is_seen),
		cmocka_unit_test(stacked_links_do_not_count_twice),
		cmocka_unit_test(the_first_of_stacked_links_does_not_take_the_name_back),
		cmocka_unit_test(options_of_ipv4_are_skipped),
		cmocka_unit_test(a_header_is_not_shorter_than_itself),
		cmocka_unit_test(extension_headers_are_skipped),
		cmocka_unit_test(a_jumbograms_length_is_in_its_option),
		cmocka_unit_test(no_packet_has_twenty_extension_headers),
		cmocka_unit_test(later_fragments_have_no_ports),
		cmocka_unit_test(padding_is_not_part_of_the_packet),
		cmocka_unit_test(vlan_tags_are_skipped),
		cmocka_unit_test(a_frame_may_be_cut_off_anywhere),
		cmocka_unit_test(nonsense_is_harmless),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}

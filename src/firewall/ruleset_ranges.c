/*
 * The values of a match: ranges of addresses, ports or protocols.
 *
 * A set may have a hundred thousand values, and each traced packet is compared with them. So they are sorted once,
 * overlaps are joined, and then a binary search finds a value.
 */
#include "ruleset_build.h"
#include "tproxy/array.h"

#include <stdlib.h>
#include <string.h>

void ruleset_add_range(struct match *match, struct addr first, struct addr last)
{
	match->ranges = array_room(match->ranges, match->range_count, sizeof(*match->ranges));
	match->ranges[match->range_count++] = (struct range){first, last};
}

void ruleset_add_numbers(struct match *match, uint16_t first, uint16_t last)
{
	struct addr from = addr_any(AF_UNSPEC), to = from;

	addr_set_port(&from, first);
	addr_set_port(&to, last);
	ruleset_add_range(match, from, to);
}

bool ruleset_add_prefix(struct match *match, struct addr address, unsigned length)
{
	unsigned bits = family_bits(addr_family(&address));
	struct addr first = address, last = address;
	uint8_t *low = (uint8_t *)addr_bytes(&first), *high = (uint8_t *)addr_bytes(&last);

	if (length > bits)
		return false;
	for (unsigned bit = length; bit < bits; bit++) {
		low[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		high[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	ruleset_add_range(match, first, last);
	return true;
}

/* Addresses by their bytes, numbers as the ports of addresses without a family. */
static int compare_values(const struct addr *a, const struct addr *b)
{
	int ips = addr_compare_ip(a, b);

	return ips != 0 || addr_family(a) != AF_UNSPEC ? ips
						       : (int)addr_port(a) - (int)addr_port(b);
}

static int by_first(const void *a, const void *b)
{
	const struct range *one = a, *other = b;

	return compare_values(&one->first, &other->first);
}

void ruleset_sort_ranges(struct match *match)
{
	struct range *ranges = match->ranges;
	size_t kept = 0;

	if (match->range_count > 1)
		qsort(ranges, match->range_count, sizeof(*ranges), by_first);
	for (size_t i = 0; i < match->range_count; i++) {
		if (compare_values(&ranges[i].first, &ranges[i].last) > 0)
			continue; /* an empty range */
		if (kept == 0 || compare_values(&ranges[i].first, &ranges[kept - 1].last) > 0)
			ranges[kept++] = ranges[i];
		else if (compare_values(&ranges[i].last, &ranges[kept - 1].last) > 0)
			ranges[kept - 1].last = ranges[i].last;
	}
	match->range_count = kept;
}

void ruleset_sort_rule(struct rule *rule)
{
	for (size_t i = 0; i < rule->match_count; i++)
		if (!rule->matches[i].borrowed)
			ruleset_sort_ranges(&rule->matches[i]);
}

bool ruleset_match_has(const struct match *match, const struct addr *value)
{
	size_t low = 0, high = match->range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct range *range = &match->ranges[middle];

		if (compare_values(value, &range->first) < 0)
			high = middle;
		else if (compare_values(value, &range->last) > 0)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/*
 * Numbers and durations, by the manual's section 2.5.
 *
 * HAProxy rounds a duration up to whole milliseconds, so that 1us does not become "no limit", and
 * refuses more than 2147483647 ms. It reads plain numbers with atol(), which makes 0 of "many" and
 * 1 of "1k"; here a number is digits and nothing else.
 */
#include "tproxy/units.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

static const struct unit {
	const char *name;
	unsigned long long microseconds;
} units[] = {
	{"", 1000},
	{"us", 1},
	{"ms", 1000},
	{"s", 1000ULL * 1000},
	{"m", 60ULL * 1000 * 1000},
	{"h", 3600ULL * 1000 * 1000},
	{"d", 86400ULL * 1000 * 1000},
};

/*
 * Reads leading digits, and returns where they end; NULL where there are none. A value beyond any
 * limit stays there instead of wrapping round.
 */
static const char *digits_parse(const char *text, unsigned long long *value)
{
	const unsigned long long far_too_large = 1ULL << 40;
	const char *at;

	*value = 0;
	for (at = text; *at >= '0' && *at <= '9'; at++)
		if (*value < far_too_large)
			*value = *value * 10 + (unsigned long long)(*at - '0');
	return at == text ? NULL : at;
}

const char *number_parse(const char *text, unsigned minimum, unsigned maximum, unsigned *value)
{
	unsigned long long number;
	const char *end = digits_parse(text, &number);

	if (end == NULL || *end != '\0')
		return "not a whole number";
	if (number < minimum)
		return "the number is too small";
	if (number > maximum)
		return "the number is too large";
	*value = (unsigned)number;
	return NULL;
}

const char *duration_parse(const char *text, unsigned *milliseconds)
{
	unsigned long long number;
	const char *name = digits_parse(text, &number);
	const struct unit *unit = units, *end = units + sizeof(units) / sizeof(units[0]);

	if (name == NULL)
		return "not a duration; write a number and a unit, as in 30s";
	while (unit < end && strcmp(unit->name, name) != 0)
		unit++;
	if (unit == end)
		return "unknown unit; the units are us, ms, s, m, h and d, and none means ms";
	if (number > INT_MAX * 1000ULL / unit->microseconds)
		return "too long; 2147483647 ms, a little under 25 days, is the most";
	*milliseconds = (unsigned)((number * unit->microseconds + 999) / 1000);
	return NULL;
}

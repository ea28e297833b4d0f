/*
 * Finds addresses in a text by their form: a run of the characters that an address has, which inet_pton(3) reads.
 *
 * A network (the first 24 or 64 bits) gets a number when it is first seen, and the number chooses its replacement. The last
 * byte of IPv4 stays. Of IPv6 the rest stays if it is short; a long one may have been made from a hardware address, and gets a
 * number, too. The trap is a documentation range that the text already uses: it is not given to another network.
 */
#include "redact.h"
#include "tproxy/array.h"
#include "tproxy/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDRESS_MAX = 46,
	SHORT_ID = 0xffff /* an interface id up to this was chosen by a person */
};

struct numbers { /* of networks, or of interface ids, in the order in which they were seen */
	uint64_t *list;
	size_t count;
};

struct redactor {
	const char *text; /* the whole of it */
	struct numbers networks4, networks6, ids;
};

static size_t number_of(struct numbers *numbers, uint64_t value)
{
	for (size_t i = 0; i < numbers->count; i++)
		if (numbers->list[i] == value)
			return i;
	numbers->list = array_room(numbers->list, numbers->count, sizeof(*numbers->list));
	numbers->list[numbers->count] = value;
	return numbers->count++;
}

static bool is_public4(uint32_t address)
{
	static const struct {
		uint32_t net;
		unsigned length;
	} others[] = {{0x00000000, 8}, {0x0a000000, 8}, {0x64400000, 10}, {0x7f000000, 8},
		{0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000200, 24}, {0xc0a80000, 16},
		{0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 3}};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if ((address ^ others[i].net) >> (32 - others[i].length) == 0)
			return false;
	return true;
}

/* The network that stands for number NUMBER: of the documentation's those that the text does not have. */
static uint32_t network4(const struct redactor *redactor, size_t number)
{
	static const struct {
		const char *text;
		uint32_t net;
	} free[] = {
		{"192.0.2.", 0xc0000200}, {"198.51.100.", 0xc6336400}, {"203.0.113.", 0xcb007100}};

	for (size_t i = 0; i < sizeof(free) / sizeof(free[0]); i++)
		if (strstr(redactor->text, free[i].text) == NULL && number-- == 0)
			return free[i].net;
	return 0xc6120000 | (uint32_t)(number << 8 & 0x1ff00);
}

static bool replace4(struct redactor *redactor, const char *word, char made[ADDRESS_MAX])
{
	struct in_addr address;
	uint32_t value;

	if (inet_pton(AF_INET, word, &address) != 1)
		return false;
	value = ntohl(address.s_addr);
	if (!is_public4(value))
		return false;
	value = network4(redactor, number_of(&redactor->networks4, value >> 8)) | (value & 0xff);
	address.s_addr = htonl(value);
	return inet_ntop(AF_INET, &address, made, ADDRESS_MAX) != NULL;
}

static uint64_t read64(const unsigned char *bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return value;
}

static bool replace6(struct redactor *redactor, const char *word, char made[ADDRESS_MAX])
{
	struct in6_addr address;
	uint64_t network, id;

	if (inet_pton(AF_INET6, word, &address) != 1 || (address.s6_addr[0] & 0xe0) != 0x20)
		return false;
	network = read64(address.s6_addr);
	if (network >> 32 == 0x20010db8)
		return false;
	id = read64(address.s6_addr + 8);
	if (id > SHORT_ID)
		id = (uint64_t)0xffff << 16 | number_of(&redactor->ids, id);
	network = (uint64_t)0x20010db8 << 32 | 0xff000000 |
		  (uint64_t)number_of(&redactor->networks6, network);
	for (int i = 7; i >= 0; i--, network >>= 8, id >>= 8) {
		address.s6_addr[i] = (unsigned char)network;
		address.s6_addr[8 + i] = (unsigned char)id;
	}
	return inet_ntop(AF_INET6, &address, made, ADDRESS_MAX) != NULL;
}

/* Prints a part of a word, with the address at its start replaced: "192.0.2.80:80", "::1.". */
static void put_part(struct redactor *redactor, const char *part, size_t length, FILE *out)
{
	char word[ADDRESS_MAX], made[ADDRESS_MAX];

	for (size_t end = length; end > 0; end--) {
		if (end < length && part[end] != ':' && part[end] != '.')
			continue; /* what is left has to end where the next piece begins */
		if (end >= sizeof(word))
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)end, part);
		if (replace4(redactor, word, made) || replace6(redactor, word, made)) {
			fprintf(out, "%s%.*s", made, (int)(length - end), part + end);
			return;
		}
	}
	fprintf(out, "%.*s", (int)length, part);
}

/* Prints a word of letters, digits, dots and colons. One that is no IPv6 address, as "eth0:192.0.2.80", is looked at in parts. */
static void put_word(struct redactor *redactor, const char *word, size_t length, FILE *out)
{
	static const char mapped[] = "::ffff:";
	size_t part = strlen(mapped);

	if (length > part && strncasecmp(word, mapped, part) == 0 && memchr(word, '.', length)) {
		fputs(mapped, out);
		put_part(redactor, word + part, length - part, out);
		return;
	}
	if (strspn(word, "0123456789abcdefABCDEF.:") >= length && word[0] != '.' &&
		(word[0] != ':' || word[1] == ':')) {
		put_part(redactor, word, length, out);
		return;
	}
	for (; length > 0; word += part, length -= part) {
		part = strcspn(word, ":");
		if (part == 0)
			part = 1;
		else if (part > length)
			part = length;
		put_part(redactor, word, part, out);
	}
}

char *redact_addresses(const char *text)
{
	struct redactor redactor = {.text = text};
	struct text_stream made;

	text_begin(&made);
	while (*text != '\0') {
		size_t length = 0;

		while (isalnum((unsigned char)text[length]) || text[length] == '.' ||
			text[length] == ':')
			length++;
		if (length > 0)
			put_word(&redactor, text, length, made.out);
		else
			fputc(text[length++], made.out);
		text += length;
	}
	free(redactor.networks4.list);
	free(redactor.networks6.list);
	free(redactor.ids.list);
	return text_end(&made);
}

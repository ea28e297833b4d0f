/*
 * The known targets of iptables: the last words of a rule.
 *
 * A target is a verdict, a chain of the table, or an extension. An extension that changes nothing a trace looks at
 * has no effect here.
 *
 * The traps: the kernel changes a mark by (mark & ~mask) ^ value, so all options of MARK are converted to that; and
 * an unknown target may change the mark, so it is kept as unknown.
 */
#include "ruleset_build.h"
#include "tproxy/text.h"
#include "xtables.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	enum target_kind kind;
} plain[] = {{"ACCEPT", TARGET_ACCEPT}, {"DROP", TARGET_DROP}, {"REJECT", TARGET_DROP},
	{"RETURN", TARGET_RETURN}, {"SNAT", TARGET_NAT_SOURCE}, {"MASQUERADE", TARGET_NAT_SOURCE},
	{"DNAT", TARGET_NAT_DESTINATION}, {"REDIRECT", TARGET_NAT_DESTINATION},
	/* Neither ends a packet's way nor changes what rules match. */
	{"LOG", TARGET_NONE}, {"NFLOG", TARGET_NONE}, {"ULOG", TARGET_NONE}, {"AUDIT", TARGET_NONE},
	{"TRACE", TARGET_NONE}, {"TCPMSS", TARGET_NONE}, {"CLASSIFY", TARGET_NONE},
	{"CHECKSUM", TARGET_NONE}, {"SET", TARGET_NONE}, {"DSCP", TARGET_NONE},
	{"TOS", TARGET_NONE}, {"TTL", TARGET_NONE}, {"HL", TARGET_NONE}, {"IDLETIMER", TARGET_NONE},
	{"LED", TARGET_NONE}, {"RATEEST", TARGET_NONE}, {"SECMARK", TARGET_NONE},
	{"CONNSECMARK", TARGET_NONE}, {"TCPOPTSTRIP", TARGET_NONE}, {"ECN", TARGET_NONE},
	{"TEE", TARGET_NONE}, {"NOTRACK", TARGET_NOTRACK}};

/* Adds a target of KIND, or an unknown one where its options are not KNOWN. */
static struct target *add_target(
	struct xtables_parse *parse, enum target_kind kind, bool known, size_t first)
{
	struct target *target = ruleset_add_target(parse->rule, known ? kind : TARGET_UNKNOWN);

	if (!known)
		target->text = xtables_join(parse, first);
	return target;
}

/* -j MARK with one option; --set-mark sets all bits of VALUE as well as those of MASK. */
static void read_mark_target(struct xtables_parse *parse, size_t first)
{
	const struct xtables_word *words = &parse->words[first + 2];
	uint32_t value = 0, mask = 0;
	struct target *target;
	bool known = parse->count - first == 4 && xtables_masked(words[1].text, &value, &mask);

	if (known && xtables_is(words, "--set-mark"))
		mask |= value;
	else if (known && xtables_is(words, "--and-mark")) {
		mask = ~value;
		value = 0;
	} else if (known && xtables_is(words, "--or-mark"))
		mask = value;
	else if (known && xtables_is(words, "--xor-mark"))
		mask = 0;
	else
		known = known && xtables_is(words, "--set-xmark");
	target = add_target(parse, TARGET_MARK, known, first);
	target->number = value;
	target->mask = mask;
}

/* One option of TPROXY and its value. */
static bool read_tproxy_option(struct target *target, const struct xtables_word *words)
{
	uint16_t port = addr_port(&target->to);
	uint32_t number;
	const char *end;

	if (xtables_is(words, "--tproxy-mark"))
		return xtables_masked(words[1].text, &target->number, &target->mask);
	if (xtables_is(words, "--on-ip")) {
		if (!addr_parse(&target->to, words[1].text))
			return false;
		addr_set_port(&target->to, port);
		return true;
	}
	if (!xtables_is(words, "--on-port") || !xtables_number(words[1].text, &number, &end))
		return false;
	addr_set_port(&target->to, (uint16_t)number);
	return *end == '\0' && number <= UINT16_MAX;
}

static void read_tproxy(struct xtables_parse *parse, size_t first)
{
	struct target read = {.kind = TARGET_TPROXY, .to = addr_any(parse->table->family)};
	bool known = (parse->count - first) % 2 == 0;
	struct target *target;

	for (size_t i = first + 2; known && i < parse->count; i += 2)
		known = read_tproxy_option(&read, &parse->words[i]);
	target = add_target(parse, TARGET_TPROXY, known, first);
	if (known)
		*target = read;
}

/* NETMAP changes the source or the destination, by the hook; hooks of both may jump to a user's chain. */
static void read_netmap(struct xtables_parse *parse, size_t first)
{
	bool source = parse->hook == HOOK_POSTROUTING || parse->hook == HOOK_INPUT;

	add_target(parse, source ? TARGET_NAT_SOURCE : TARGET_NAT_DESTINATION,
		parse->hook != HOOK_NONE, first);
}

/* "0xVALUE/0xMASK" of CONNMARK's --set-xmark; --set-mark sets all bits of VALUE as well as those of MASK. */
static bool read_ct_mark(struct target *target, const struct xtables_word *words)
{
	bool whole = xtables_is(words, "--set-mark");

	if (!xtables_masked(words[1].text, &target->number, &target->mask) ||
		(!whole && !xtables_is(words, "--set-xmark")))
		return false;
	if (whole)
		target->mask |= target->number;
	target->kind = TARGET_CT_MARK;
	return true;
}

/* --save-mark and --restore-mark, with "--nfmask MASK", "--ctmask MASK" or, for both, "--mask MASK". */
static bool read_ct_copy(
	struct target *target, const struct xtables_word *words, const struct xtables_word *end)
{
	uint32_t all;

	target->number = target->mask = UINT32_MAX;
	target->kind =
		xtables_is(words, "--save-mark") ? TARGET_CT_MARK_SAVE : TARGET_CT_MARK_RESTORE;
	if (target->kind == TARGET_CT_MARK_RESTORE && !xtables_is(words, "--restore-mark"))
		return false;
	for (words++; end - words >= 2; words += 2) {
		uint32_t mask;

		if (!xtables_masked(words[1].text, &mask, &all))
			return false;
		if (!xtables_is(words, "--ctmask"))
			target->number = mask;
		if (!xtables_is(words, "--nfmask"))
			target->mask = mask;
	}
	return words == end;
}

static void read_connmark(struct xtables_parse *parse, size_t first)
{
	const struct xtables_word *words = &parse->words[first + 2],
				  *end = &parse->words[parse->count];
	struct target read = {0};
	bool known = (end - words == 2 && read_ct_mark(&read, words)) ||
		     (end - words >= 1 && read_ct_copy(&read, words, end));
	struct target *target = add_target(parse, read.kind, known, first);

	if (known)
		*target = read;
}

/* CT: helpers, zones and the like change nothing that rules match. */
static void read_ct(struct xtables_parse *parse, size_t first)
{
	bool left_out =
		parse->count - first == 3 && xtables_is(&parse->words[first + 2], "--notrack");

	add_target(parse, left_out ? TARGET_NOTRACK : TARGET_NONE, true, first);
}

static void read_jump(struct xtables_parse *parse, size_t first, const char *name)
{
	bool jumps = xtables_is(&parse->words[first], "-j");
	bool known = ruleset_chain(parse->table, name) != NULL && parse->count - first == 2;
	struct target *target = add_target(parse, jumps ? TARGET_JUMP : TARGET_GOTO, known, first);

	if (known)
		target->text = text_copy(name);
}

static void read_extension(struct xtables_parse *parse, size_t first, const char *name)
{
	if (strcmp(name, "MARK") == 0)
		read_mark_target(parse, first);
	else if (strcmp(name, "TPROXY") == 0)
		read_tproxy(parse, first);
	else if (strcmp(name, "NETMAP") == 0)
		read_netmap(parse, first);
	else if (strcmp(name, "CONNMARK") == 0)
		read_connmark(parse, first);
	else if (strcmp(name, "CT") == 0)
		read_ct(parse, first);
	else
		read_jump(parse, first, name);
}

void xtables_target(struct xtables_parse *parse)
{
	size_t first = parse->at;
	const char *name;

	if (parse->count - first < 2 || parse->negated) {
		parse->wrong = "-j or -g has no target";
		return;
	}
	parse->at = parse->count;
	name = parse->words[first + 1].text;
	if (parse->restores_mark)
		ruleset_add_target(parse->rule, TARGET_UNKNOWN)->text =
			text_copy("--restore-skmark");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(plain[i].name, name) == 0) {
			ruleset_add_target(parse->rule, plain[i].kind);
			return;
		}
	read_extension(parse, first, name);
}

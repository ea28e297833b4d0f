/*
 * Rule sets: what iptables-save and `nft -j list ruleset` print, and simulated packets through
 * them, at every hook. Text that begins with a brace is nft's. What stands behind a form feed is what `ipset save` prints.
 */
#include "firewall/ruleset.h"
#include "firewall/trace.h"
#include "fuzz.h"

#include <netinet/in.h>

static const enum hook hooks[] = {
	HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING};

static void trace(const struct ruleset *ruleset, const char *source, const char *destination)
{
	struct packet packet = {.protocol = IPPROTO_TCP,
		.in = "eth0",
		.out = "eth1",
		.tcp_flags = 2,
		.socket_transparent = true};

	if (!addr_parse(&packet.source, source) || !addr_parse(&packet.destination, destination))
		abort();
	addr_set_port(&packet.source, 40000);
	addr_set_port(&packet.destination, 80);
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		trace_packet(ruleset, hooks[i], &packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ruleset ruleset = {0};
	char *text = fuzz_text(data, size), *problem = NULL, *sets = strchr(text, '\f');

	if (sets != NULL)
		*sets++ = '\0';
	if (text[0] == '{') {
		ruleset_parse_nft(&ruleset, text, &problem);
	} else {
		ruleset_parse_iptables(&ruleset, TOOL_IPTABLES, AF_INET, text, &problem);
		free(problem);
		problem = NULL;
		ruleset_parse_iptables(&ruleset, TOOL_LEGACY, AF_INET6, text, &problem);
	}
	if (sets != NULL) {
		free(problem);
		ruleset_parse_ipset(&ruleset, sets, &problem);
	}
	trace(&ruleset, "198.51.100.10", "192.0.2.80");
	trace(&ruleset, "2001:db8::10", "2001:db8:f::80");
	free(problem);
	free(text);
	ruleset_free(&ruleset);
	return 0;
}

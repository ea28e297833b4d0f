/*
 * Prints the results for people: a line for each capability and connection with a column for each family,
 * then the profiles, then the reasons for what does not work.
 *
 * A reason is printed once. What was not tried because a capability is missing has no reason of its own: the
 * capability is in the list.
 */
#include "prove.h"
#include "tproxy/addr.h"

#include <string.h>
#include <sys/socket.h>

static void put_row(FILE *out, const char *what, const char *in4, const char *in6)
{
	fprintf(out, "  %-44s %-9s %s\n", what, in4, in6);
}

static const char *state_of(const struct findings *findings, enum capability_name name, int family)
{
	return capability_state_name(findings_get(findings, name, family)->state);
}

static void put_capabilities(const struct proof *proof, FILE *out)
{
	const struct findings *findings = &proof->findings;

	for (int i = 0; i < CAPABILITIES; i++) {
		enum capability_name name = (enum capability_name)i;

		put_row(out, capabilities[i].what, state_of(findings, name, AF_INET),
			capabilities[i].families ? state_of(findings, name, AF_INET6) : "");
	}
}

static const struct connection *in_ipv6(
	const struct proof *proof, const struct connection *connection)
{
	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];

		if (each->recipe == connection->recipe && each->tool == connection->tool &&
			each->family == AF_INET6)
			return each;
	}
	return connection;
}

static void put_name(FILE *out, const struct connection *connection)
{
	fputs(connection->recipe->name, out);
	/* The recipe of nft has its program's name. */
	if (connection->tool != -1 &&
		strcmp(connection->recipe->name, connection_tool_name(connection)) != 0)
		fprintf(out, " by %s", connection_tool_name(connection));
}

static void put_connections(const struct proof *proof, FILE *out)
{
	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];
		char name[64];
		FILE *text = fmemopen(name, sizeof(name), "w");

		if (text == NULL)
			return;
		put_name(text, each);
		fclose(text);
		if (each->family == AF_INET)
			put_row(out, name, connection_state_name(each->state),
				connection_state_name(in_ipv6(proof, each)->state));
	}
}

static void put_options(FILE *out, const char *const *options, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i == 0 ? "" : ", ", options[i]);
	fputc('\n', out);
}

static void put_profile(const struct proof *proof, enum profile profile, FILE *out)
{
	const char *options[PROVE_OPTIONS_MAX];
	bool provable = profile_is_provable(proof, profile);
	size_t count = provable ? 0 : proof_options(proof, profile, options);

	put_row(out, profile_meanings[profile], profile_names[profile], provable ? "yes" : "no");
	if (count > 0) {
		fputs("      kernel options that fix it: ", out);
		put_options(out, options, count);
	}
}

/* Whether it works, or another entry has the reason. */
static bool has_no_reason(const struct finding *finding)
{
	return finding->state == CAPABILITY_WORKS ||
	       (finding->state == CAPABILITY_UNTRIED && strncmp(finding->detail, "needs ", 6) == 0);
}

static void put_finding(const struct proof *proof, const struct capability_key *at, FILE *out)
{
	const struct finding *finding = findings_get(&proof->findings, at->name, at->family);
	const char *options[CAPABILITY_OPTIONS_MAX];
	char id[CAPABILITY_ID_MAX];
	size_t count;

	fprintf(out, "  %s %s: %s\n", capability_id(at->name, at->family, id),
		capability_state_name(finding->state),
		finding->state == CAPABILITY_WORKS ? capabilities[at->name].what : finding->detail);
	if (finding->state == CAPABILITY_MISSING) {
		count = capability_options(&proof->findings, at->name, at->family, options);
		fputs("      kernel options to turn on: ", out);
		put_options(out, options, count);
	}
}

static void put_reasons(const struct proof *proof, bool verbose, FILE *out)
{
	struct capability_key at = {0};

	while (capability_next(&at))
		if (verbose || !has_no_reason(findings_get(&proof->findings, at.name, at.family)))
			put_finding(proof, &at, out);
	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];

		if (!verbose && each->state != CONNECTION_FAILED)
			continue;
		fputs("  ", out);
		put_name(out, each);
		fprintf(out, ", IPv%d %s: %s\n", family_version(each->family),
			connection_state_name(each->state), each->detail);
	}
}

static bool all_work(const struct proof *proof)
{
	struct capability_key at = {0};

	while (capability_next(&at))
		if (!findings_can(&proof->findings, at.name, at.family))
			return false;
	for (size_t i = 0; i < proof->connection_count; i++)
		if (proof->connections[i].state != CONNECTION_WORKS)
			return false;
	return true;
}

static void put_verdict(const struct proof *proof, enum profile profile, FILE *out)
{
	fprintf(out, "\nProfile %s %s on this kernel.\n", profile_names[profile],
		profile_is_provable(proof, profile) ? "works" : "does not work");
	if (proof->findings.packages[0] != NULL) {
		fputs("Not everything was tried. Install:", out);
		for (size_t i = 0; proof->findings.packages[i] != NULL; i++)
			fprintf(out, " %s", proof->findings.packages[i]);
		fputc('\n', out);
	}
	if (proof->own_users && !all_work(proof))
		fputs("Without root the kernel loads no modules for iptables-legacy. Run as root to "
		      "try them.\n",
			out);
}

void prove_print(const struct proof *proof, enum profile profile, bool verbose, FILE *out)
{
	fprintf(out, "Linux %s, tried in scratch namespaces %s\n\n", proof->kernel,
		proof->own_users ? "without root" : "as root");
	put_row(out, "capability", "IPv4", "IPv6");
	put_capabilities(proof, out);
	fputc('\n', out);
	put_row(out, "connection client - proxy - server", "IPv4", "IPv6");
	put_connections(proof, out);
	fputc('\n', out);
	put_row(out, "purpose", "profile", "works");
	for (int each = 0; each < PROFILES; each++)
		put_profile(proof, (enum profile)each, out);
	if (verbose || !all_work(proof)) {
		fputs(verbose ? "\nDetails:\n" : "\nWhat does not work:\n", out);
		put_reasons(proof, verbose, out);
	}
	put_verdict(proof, profile, out);
}

/*
 * Prints the results as JSON; fixtures/schema/prove.schema.json is the contract.
 *
 * The format number is raised when a field changes its meaning. A new field does not raise it. "firewall_tool"
 * of a connection is "none" where its recipe has no packet rules.
 */
#include "prove.h"
#include "tproxy/addr.h"

#include <jansson.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FORMAT = 1
};

static json_t *list_of(const char *const *texts, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(texts[i]));
	return list;
}

static json_t *number_of(int family)
{
	return json_integer(family_version(family));
}

static json_t *capability_object(
	const struct findings *findings, enum capability_name name, int family)
{
	const struct finding *finding = findings_get(findings, name, family);
	const char *options[CAPABILITY_OPTIONS_MAX];
	char id[CAPABILITY_ID_MAX];
	size_t count = 0;

	if (finding->state == CAPABILITY_MISSING)
		count = capability_options(findings, name, family, options);
	return json_pack("{s:s, s:s, s:o, s:b, s:s, s:s, s:o}", "id",
		capability_id(name, family, id), "what", capabilities[name].what, "family",
		capabilities[name].families ? number_of(family) : json_null(), "optional",
		capabilities[name].optional, "state", capability_state_name(finding->state),
		"detail", finding->detail, "options", list_of(options, count));
}

static json_t *all_capabilities(const struct findings *findings)
{
	struct capability_key at = {0};
	json_t *list = json_array();

	while (capability_next(&at))
		json_array_append_new(list, capability_object(findings, at.name, at.family));
	return list;
}

static json_t *all_connections(const struct proof *proof)
{
	json_t *list = json_array();

	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:b, s:b}", "recipe",
				each->recipe->name, "firewall_tool", connection_tool_name(each),
				"protocol", each->recipe->protocol == IPPROTO_TCP ? "tcp" : "udp",
				"family", number_of(each->family), "state",
				connection_state_name(each->state), "detail", each->detail,
				"listener_reached", each->listener_reached, "client_seen",
				each->client_seen));
	}
	return list;
}

static json_t *profile_object(const struct proof *proof, enum profile profile)
{
	const char *options[PROVE_OPTIONS_MAX];
	bool provable = profile_is_provable(proof, profile);
	size_t count = provable ? 0 : proof_options(proof, profile, options);
	json_t *by = json_array();

	for (size_t i = 0; i < proof->connection_count; i++) {
		const struct connection *each = &proof->connections[i];

		if (profile_shown_by(profile, each))
			json_array_append_new(
				by, json_pack("{s:s, s:s}", "recipe", each->recipe->name,
					    "firewall_tool", connection_tool_name(each)));
	}
	return json_pack("{s:b, s:o, s:o}", "provable", provable, "by", by, "options",
		list_of(options, count));
}

static json_t *all_profiles(const struct proof *proof)
{
	json_t *profiles = json_object();

	for (int profile = 0; profile < PROFILES; profile++)
		json_object_set_new(profiles, profile_names[profile],
			profile_object(proof, (enum profile)profile));
	return profiles;
}

bool prove_print_json(const struct proof *proof, enum profile profile, FILE *out)
{
	const char *options[PROVE_OPTIONS_MAX];
	size_t count = proof_options(proof, PROFILES, options), packages = 0;
	json_t *whole;
	int result;

	while (proof->findings.packages[packages] != NULL)
		packages++;
	whole = json_pack("{s:i, s:s, s:b, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "format", FORMAT,
		"kernel", proof->kernel, "user_namespace", proof->own_users, "profile",
		profile_names[profile], "provable", profile_is_provable(proof, profile),
		"capabilities", all_capabilities(&proof->findings), "connections",
		all_connections(proof), "profiles", all_profiles(proof), "options_to_turn_on",
		list_of(options, count), "packages_to_install",
		list_of(proof->findings.packages, packages));
	if (whole == NULL)
		return false;
	result = json_dumpf(whole, out, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	json_decref(whole);
	return result == 0 && fputc('\n', out) != EOF;
}

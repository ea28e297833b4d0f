/*
 * A plan for people and for other tools.
 *
 * Each step becomes commands, one a line, and so does what takes it back; `shell` and `ifupdown` are two
 * ways to write those down. iptables' rules are printed as the single commands that they are known by;
 * apply itself loads them in one call.
 */
#include "hoststate/sysctl.h"
#include "plan.h"
#include "plan_json.h"
#include "tproxy/text.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *family_name(const struct step *step)
{
	return step->family == AF_INET6 ? "IPv6" : "IPv4";
}

/* "iptables-legacy" of "iptables-legacy-restore -w 10 --noflush". */
static char *program_of(const struct step *step)
{
	return text_format("%.*s", (int)(strstr(step->run, "-restore") - step->run), step->run);
}

static void iptables_commands(const struct step *step, FILE *out)
{
	char *program = program_of(step);
	const char *at = step->input;

	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		if (*line == ':')
			fprintf(out, "%s -w -t mangle -N " OUR_CHAIN "\n", program);
		else if (*line == '-')
			fprintf(out, "%s -w -t mangle %s\n", program, line);
	}
	free(program);
}

static void iptables_undo(const struct step *step, FILE *out)
{
	char *program = program_of(step);
	const char *at = step->input;

	for (char *line; (line = text_line(&at)) != NULL; free(line))
		if (strncmp(line, "-A PREROUTING", 13) == 0)
			fprintf(out, "%s -w -t mangle -D%s\n", program, line + 2);
	fprintf(out, "%s -w -t mangle -F " OUR_CHAIN "\n", program);
	fprintf(out, "%s -w -t mangle -X " OUR_CHAIN "\n", program);
	free(program);
}

/* The whole of an nft file as one argument. */
static void nft_command(const struct step *step, FILE *out)
{
	const char *at = step->input;

	fputs("nft '", out);
	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		const char *words = line + strspn(line, "\t");
		size_t length = strlen(words);

		fprintf(out, "%s%s", words,
			length > 0 && strchr("{;", words[length - 1]) != NULL ? " "
			: *at != '\0'                                         ? "; "
									      : "");
	}
	fputs("'\n", out);
}

static char *commands_of(const struct plan *plan, const struct step *step)
{
	struct text_stream commands;
	char *name;

	text_begin(&commands);
	if (step->kind == STEP_SYSCTL) {
		name = sysctl_name(step->name);
		fprintf(commands.out, "sysctl -w %s=%s\n", name, step->value);
		free(name);
	} else if (step->kind != STEP_FIREWALL)
		fprintf(commands.out, "%s\n", step->run);
	else if (plan->tool == TOOL_NFT)
		nft_command(step, commands.out);
	else
		iptables_commands(step, commands.out);
	return text_end(&commands);
}

static char *undo_of(const struct plan *plan, const struct step *step)
{
	struct text_stream commands;
	char *name;

	text_begin(&commands);
	if (step->kind == STEP_SYSCTL) {
		name = sysctl_name(step->name);
		fprintf(commands.out, "sysctl -w %s=%s\n", name, step->was);
		free(name);
	} else if (step->kind != STEP_FIREWALL)
		fprintf(commands.out, "%s\n", step->undo);
	else if (plan->tool == TOOL_NFT)
		fprintf(commands.out, "nft delete table %s " OUR_NAME "\n",
			step->family == AF_INET6 ? "ip6" : "ip");
	else
		iptables_undo(step, commands.out);
	return text_end(&commands);
}

static void print_lines(const char *lines, const char *before, FILE *out)
{
	for (char *line; (line = text_line(&lines)) != NULL; free(line))
		fprintf(out, "%s%s\n", before, line);
}

static void print_head(const struct plan *plan, FILE *out)
{
	fprintf(out, "# tproxyctl plan: recipe %s, firewall tool %s",
		plan_recipe_names[plan->recipe], firewall_tool_names[plan->tool]);
	if (plan->marks)
		fprintf(out, ", mark 0x%x, table %u", plan->mark, plan->table);
	fputc('\n', out);
	if (plan->notes != NULL)
		print_lines(plan->notes, "# note: ", out);
	if (plan->step_count == 0)
		fputs("# nothing is to be done\n", out);
}

static void print_shell(const struct plan *plan, FILE *out)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];
		char *commands = commands_of(plan, step);

		fprintf(out, "\n# %s: %s\n", family_name(step), step->why);
		if (step->kind == STEP_FIREWALL && plan->tool == TOOL_NFT)
			fprintf(out, "%s <<'EOF'\n%sEOF\n", step->run, step->input);
		else
			print_lines(commands, "", out);
		free(commands);
	}
	if (plan->step_count > 0)
		fputs("\n# What takes it back:\n", out);
	for (size_t i = plan->step_count; i > 0; i--) {
		char *commands = undo_of(plan, &plan->steps[i - 1]);

		print_lines(commands, "#   ", out);
		free(commands);
	}
}

static void print_ifupdown(const struct plan *plan, FILE *out)
{
	fputs("# in the stanza of the link that clients come by, /etc/network/interfaces\n", out);
	for (size_t i = 0; i < plan->step_count; i++) {
		char *commands = commands_of(plan, &plan->steps[i]);

		print_lines(commands, "    up ", out);
		free(commands);
	}
	for (size_t i = plan->step_count; i > 0; i--) {
		char *commands = undo_of(plan, &plan->steps[i - 1]);

		print_lines(commands, "    down ", out);
		free(commands);
	}
}

static void print_nft(const struct plan *plan, FILE *out)
{
	fputs("# for `nft -f`; sysctls, policy rules and routes are none of its business\n", out);
	for (size_t i = 0; i < plan->step_count; i++)
		if (plan->steps[i].kind == STEP_FIREWALL)
			fprintf(out, "\n%s", plan->steps[i].input);
}

static void print_sysctls(const struct plan *plan, FILE *out)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];
		char *name;

		if (step->kind != STEP_SYSCTL)
			continue;
		name = sysctl_name(step->name);
		fprintf(out, "\n# %s\n%s = %s\n", step->why, name, step->value);
		free(name);
		count++;
	}
	if (count == 0)
		fputs("# no sysctl has to be set\n", out);
}

static void print_route(const struct step *step, FILE *out)
{
	char to[64], table[32];

	if (sscanf(step->name, "route local %63s table %31s", to, table) == 2)
		fprintf(out, "\n# %s\n[Route]\nDestination=%s\nType=local\nTable=%s\nProtocol=%s\n",
			step->why, to, table, OUR_PROTOCOL);
}

static void print_networkd(const struct plan *plan, FILE *out)
{
	fputs("# /etc/systemd/network/50-tproxyctl.network; packet rules: --format nft\n"
	      "[Match]\nName=lo\n",
		out);
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];
		unsigned preference = 0;

		if (step->kind == STEP_ROUTE)
			print_route(step, out);
		if (step->kind != STEP_RULE)
			continue;
		sscanf(strstr(step->run, " pref "), " pref %u", &preference);
		fprintf(out,
			"\n# %s\n[RoutingPolicyRule]\nFamily=%s\nFirewallMark=%u\nTable=%u\n"
			"Priority=%u\n",
			step->why, step->family == AF_INET6 ? "ipv6" : "ipv4", plan->mark,
			plan->table, preference);
	}
}

static void print_json(const struct plan *plan, FILE *out)
{
	json_t *root = plan_json(plan);

	json_dumpf(root, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(root);
}

void plan_print(const struct plan *plan, enum plan_format format, FILE *out)
{
	static void (*const printers[])(const struct plan *, FILE *) = {
		[FORMAT_SHELL] = print_shell,
		[FORMAT_NFT] = print_nft,
		[FORMAT_SYSCTL] = print_sysctls,
		[FORMAT_NETWORKD] = print_networkd,
		[FORMAT_IFUPDOWN] = print_ifupdown,
		[FORMAT_JSON] = print_json,
	};

	if (format != FORMAT_JSON)
		print_head(plan, out);
	printers[format](plan, out);
}

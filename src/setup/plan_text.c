/*
 * Prints a plan for people and for other tools.
 *
 * Each step becomes commands, one a line, and so does its undo; `shell` and `ifupdown` are two ways to
 * write them down. Rules of iptables are printed as single commands, because people know them so; apply
 * loads them in one call. The trap: in `ifupdown` a command must be one line, so a file for nft becomes one
 * quoted argument.
 */
#include "hoststate/network.h"
#include "plan.h"
#include "plan_json.h"
#include "tproxy/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void iptables_commands(const struct step *step, FILE *out)
{
	const char *program = firewall_tool_program(step->tool, step->family);
	const char *at = step->input;

	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		if (*line == ':')
			fprintf(out, "%s -w -t mangle -N " OUR_CHAIN "\n", program);
		else if (*line == '-')
			fprintf(out, "%s -w -t mangle %s\n", program, line);
	}
}

static void iptables_undo(const struct step *step, FILE *out)
{
	const char *program = firewall_tool_program(step->tool, step->family);
	const char *at = step->input;

	for (char *line; (line = text_line(&at)) != NULL; free(line))
		if (strncmp(line, "-A PREROUTING", 13) == 0)
			fprintf(out, "%s -w -t mangle -D%s\n", program, line + 2);
	fprintf(out, "%s -w -t mangle -F " OUR_CHAIN "\n", program);
	fprintf(out, "%s -w -t mangle -X " OUR_CHAIN "\n", program);
}

/* The whole of an nft file as one argument. */
static void nft_command(const struct step *step, FILE *out)
{
	const char *at = step->input;

	fputs("nft '", out);
	for (char *line; (line = text_line(&at)) != NULL; free(line)) {
		const char *content = line + strspn(line, "\t");
		size_t length = strlen(content);

		fprintf(out, "%s%s", content,
			length > 0 && strchr("{;", content[length - 1]) != NULL ? " "
			: *at != '\0'                                           ? "; "
										: "");
	}
	fputs("'\n", out);
}

/* The line of sysctl(8) that sets a value, to be freed. */
static char *sysctl_line(const struct step *step, const char *value)
{
	char *name = step_name(step), *line = text_format("sysctl -w %s=%s", name, value);

	free(name);
	return line;
}

/* The commands of a step, one a line, or those that undo it; to be freed. */
static char *commands_of(const struct step *step, bool undo)
{
	struct text_stream commands;
	char *line = NULL;

	text_begin(&commands);
	if (step->kind == STEP_SYSCTL)
		line = sysctl_line(step, undo ? step->was : step->value);
	else if (step->kind != STEP_FIREWALL)
		line = step_command(step, undo ? "del" : "add");
	else if (step->tool == TOOL_NFT && undo)
		line = text_format(
			"nft delete table %s " OUR_NAME, step->family == AF_INET6 ? "ip6" : "ip");
	else if (step->tool == TOOL_NFT)
		nft_command(step, commands.out);
	else if (undo)
		iptables_undo(step, commands.out);
	else
		iptables_commands(step, commands.out);
	if (line != NULL)
		fprintf(commands.out, "%s\n", line);
	free(line);
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
		fputs("# nothing needs to be done\n", out);
}

static void print_commands(const struct step *step, bool undo, const char *before, FILE *out)
{
	char *commands = commands_of(step, undo);

	print_lines(commands, before, out);
	free(commands);
}

static void print_shell(const struct plan *plan, FILE *out)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		fprintf(out, "\n# IPv%d: %s\n", family_version(step->family), step->why);
		if (step->kind == STEP_FIREWALL && step->tool == TOOL_NFT)
			fprintf(out, "nft -f - <<'EOF'\n%sEOF\n", step->input);
		else
			print_commands(step, false, "", out);
	}
	if (plan->step_count > 0)
		fputs("\n# To undo all of it:\n", out);
	for (size_t i = plan->step_count; i > 0; i--)
		print_commands(&plan->steps[i - 1], true, "#   ", out);
}

static void print_ifupdown(const struct plan *plan, FILE *out)
{
	fputs("# in /etc/network/interfaces, in the stanza of the link that clients use\n", out);
	for (size_t i = 0; i < plan->step_count; i++)
		print_commands(&plan->steps[i], false, "    up ", out);
	for (size_t i = plan->step_count; i > 0; i--)
		print_commands(&plan->steps[i - 1], true, "    down ", out);
}

static void print_nft(const struct plan *plan, FILE *out)
{
	fputs("# for `nft -f`; sysctls, policy rules and routes are not part of it\n", out);
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
		name = step_name(step);
		fprintf(out, "\n# %s\n%s = %s\n", step->why, name, step->value);
		free(name);
		count++;
	}
	if (count == 0)
		fputs("# no sysctl needs to be set\n", out);
}

static void print_networkd(const struct plan *plan, FILE *out)
{
	fputs("# /etc/systemd/network/50-tproxyctl.network; packet rules: --format nft\n"
	      "[Match]\nName=lo\n",
		out);
	for (size_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		if (step->kind == STEP_ROUTE && step->table == TABLE_LOCAL)
			fprintf(out,
				"\n# %s\n[Route]\nDestination=%s\nType=local\nTable=local\n"
				"Protocol=%s\n",
				step->why, step->to, OUR_PROTOCOL);
		else if (step->kind == STEP_ROUTE)
			fprintf(out,
				"\n# %s\n[Route]\nDestination=%s\nType=local\nTable=%u\n"
				"Protocol=%s\n",
				step->why, step->to, step->table, OUR_PROTOCOL);
		else if (step->kind == STEP_RULE)
			fprintf(out,
				"\n# %s\n[RoutingPolicyRule]\nFamily=%s\nFirewallMark=%u\n"
				"Table=%u\nPriority=%u\n",
				step->why, step->family == AF_INET6 ? "ipv6" : "ipv4", step->mark,
				step->table, step->preference);
	}
}

static void print_json(const struct plan *plan, FILE *out)
{
	json_t *root = plan_json(plan, true);

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

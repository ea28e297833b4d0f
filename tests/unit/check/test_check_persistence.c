/*
 * The checklist on the next boot: what delivers packets now, and whether a file makes it then.
 */
#include "snapshots.h"
#include "tproxy/text.h"

#include <string.h>

/* The boot of a host where nothing is made; the snapshot's texts are literals here. */
static void nothing_is_made(void)
{
	host.snapshot.boot = (struct boot){.known = true};
}

static void assert_lost(const char *name, bool lost)
{
	const char *read = found(CHECK_PERSISTENCE, CHECK_ADVICE)->read;

	if ((strstr(read, name) != NULL) != lost)
		fail_msg("%s is %s: %s", name, lost ? "not named" : "named", read);
}

static void what_no_file_makes_is_named(void **state)
{
	(void)state;
	nothing_is_made();
	host_judged();
	assert_well();
	assert_lost("`iptables -t mangle -A PREROUTING -p tcp -m socket --transparent", true);
	assert_lost("`ip -4 rule`: `pref 100 fwmark 0x1 lookup 100`", true);
	assert_lost("`ip -4 route`: the local one of table 100", true);
	assert_lost("`tproxyctl apply --persist`", true);
	assert_lost("systemd-networkd", false);
}

static void the_service_makes_all_of_it(void **state)
{
	(void)state;
	host_judged();
	assert_well();
	assert_state(CHECK_PERSISTENCE, CHECK_OK);
}

static void files_of_other_tools_make_it(void **state)
{
	(void)state;
	nothing_is_made();
	host.snapshot.boot.network =
		(char *)"[RoutingPolicyRule]\nFirewallMark=1\nTable=100\n[Route]\nType=local\nTable=100\n";
	host_judged();
	assert_lost("`ip -4", false);
	assert_lost("`iptables -t mangle", true);
	host.snapshot.boot.packet_rules =
		(char *)"-A PREROUTING -p tcp -m socket --transparent -j MARK --set-xmark 0x1/0xffffffff\n";
	host_judged();
	assert_state(CHECK_PERSISTENCE, CHECK_OK);
}

static void a_restart_of_networkd_deletes_rules_of_others(void **state)
{
	(void)state;
	nothing_is_made();
	host.snapshot.boot.networkd = host.snapshot.boot.deletes_rules = true;
	host_judged();
	assert_lost("ManageForeignRoutingPolicyRules=no", true);
}

static void a_reload_of_firewalld_deletes_rules_of_iptables(void **state)
{
	(void)state;
	host.snapshot.boot.firewalld = true;
	host_judged();
	assert_well();
	assert_non_null(strstr(found_about(CHECK_PERSISTENCE, CHECK_ADVICE, "firewalld")->read,
		"`iptables -t mangle -A PREROUTING -p tcp -m socket --transparent"));
}

static void a_restart_of_docker_deletes_nothing(void **state)
{
	(void)state;
	host.snapshot.boot.docker = true;
	host_judged();
	assert_well();
	assert_reads(found_about(CHECK_PERSISTENCE, CHECK_OK, "docker"),
		"dockerd (20.10 was tried) changes no chains but its own when it starts again");
}

static void a_sysctl_that_a_file_sets_otherwise_is_named(void **state)
{
	(void)state;
	host.snapshot.boot.sysctls = (char *)"net.ipv4.ip_forward=0 /etc/sysctl.d/1.conf\n";
	host_sysctl("net/ipv4/ip_forward", "1");
	host_judged();
	assert_reads(found_about(CHECK_PERSISTENCE, CHECK_ADVICE, "net.ipv4.ip_forward"),
		"it is 1 now, and /etc/sysctl.d/1.conf sets it to 0 at boot");
	host_sysctl("net/ipv4/ip_forward", "0");
	host_judged();
	assert_state(CHECK_PERSISTENCE, CHECK_OK);
}

static void a_file_that_cannot_be_read_leaves_it_unknown(void **state)
{
	(void)state;
	host.snapshot.boot = (struct boot){.unreadable = "/etc/iptables/rules.v4"};
	host_judged();
	assert_reads(found(CHECK_PERSISTENCE, CHECK_UNKNOWN), "cannot read /etc/iptables/rules.v4");
}

static void a_host_that_does_not_work_has_nothing_to_keep(void **state)
{
	(void)state;
	nothing_is_made();
	host.saved_count = 0;
	host_judged();
	assert_state(CHECK_DIVERT, CHECK_MISSING);
	assert_state(CHECK_PERSISTENCE, CHECK_UNKNOWN);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(what_no_file_makes_is_named),
		WITH(the_service_makes_all_of_it),
		WITH(files_of_other_tools_make_it),
		WITH(a_restart_of_networkd_deletes_rules_of_others),
		WITH(a_reload_of_firewalld_deletes_rules_of_iptables),
		WITH(a_restart_of_docker_deletes_nothing),
		WITH(a_sysctl_that_a_file_sets_otherwise_is_named),
		WITH(a_file_that_cannot_be_read_leaves_it_unknown),
		WITH(a_host_that_does_not_work_has_nothing_to_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

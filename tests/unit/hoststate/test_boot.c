/*
 * What files make at boot: those of systemd, ifupdown, nftables, netfilter-persistent and sysctl.d, below a root of the test's.
 */
#include "hoststate/boot.h"
#include "tproxy/text.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/test_bootXXXXXX";
static struct boot boot;

static int begin(void **state)
{
	(void)state;
	memset(root + sizeof(root) - 7, 'X', 6);
	return mkdtemp(root) != NULL ? 0 : -1;
}

static int end(void **state)
{
	char *command = text_format("rm -r %s", root);
	int status = system(command);

	(void)state;
	boot_free(&boot);
	free(command);
	return status;
}

static void put(const char *path, const char *text)
{
	char *full = text_format("%s%s", root, path);
	FILE *out;

	for (char *slash = full + strlen(root); (slash = strchr(slash + 1, '/')) != NULL;) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	out = fopen(full, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	free(full);
}

static void enable(const char *service)
{
	char *path = text_format("/etc/systemd/system/multi-user.target.wants/%s.service", service);
	char *full = text_format("%s%s", root, path);

	put(path, "");
	assert_int_equal(unlink(full), 0);
	assert_int_equal(symlink("/lib/systemd/system/nowhere.service", full), 0);
	free(full);
	free(path);
}

static void a_host_without_such_files_makes_nothing(void **state)
{
	const char *file;

	(void)state;
	boot_read(&boot, root);
	assert_true(boot.known);
	assert_false(boot.service || boot.networkd || boot.deletes_rules || boot.firewalld);
	assert_false(boot_makes_rule(&boot, 1));
	assert_false(boot_makes_route(&boot, 100, ""));
	assert_false(boot_makes_packet_rule(&boot, "-A PREROUTING"));
	assert_null(boot_sysctl(&boot, "net.ipv4.ip_forward", &file));
}

static void services_count_if_they_are_enabled(void **state)
{
	(void)state;
	put("/etc/systemd/system/tproxyctl.service", "[Service]\n");
	boot_read(&boot, root);
	assert_false(boot.service);
	boot_free(&boot);
	enable("tproxyctl");
	boot_read(&boot, root);
	assert_true(boot.service);
	assert_false(boot.firewalld);
	boot_free(&boot);
	enable("firewalld");
	boot_read(&boot, root);
	assert_true(boot.firewalld);
	assert_false(boot.docker);
	boot_free(&boot);
	enable("docker");
	boot_read(&boot, root);
	assert_true(boot.docker);
}

/* The rule for mark 1, the route of table 100 and the local route to 192.0.2.80, and no others. */
static void assert_set_up_is_made(void)
{
	assert_true(boot_makes_rule(&boot, 1));
	assert_false(boot_makes_rule(&boot, 10));
	assert_true(boot_makes_route(&boot, 100, ""));
	assert_false(boot_makes_route(&boot, 7, ""));
	assert_true(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.80"));
	assert_false(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.81"));
	assert_false(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.8"));
}

static void files_of_networkd_make_rules_and_routes(void **state)
{
	(void)state;
	put("/etc/systemd/network/50-proxy.network",
		"[Match]\nName=lo\n[Route]\nDestination=0.0.0.0/0\nType=local\nTable=100\n"
		"[Route]\nDestination=198.51.100.0/24\nTable=7\n"
		"[Route]\nDestination=192.0.2.80/32\nType=local\nTable=local\n"
		"[RoutingPolicyRule]\nFirewallMark=1\nTable=100\n");
	boot_read(&boot, root);
	assert_set_up_is_made();
}

/* systemd.syntax(7) */
static void blanks_around_equals_do_not_count(void **state)
{
	(void)state;
	put("/run/systemd/netif/links/1", "");
	put("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes = no\n");
	put("/etc/systemd/network/50-proxy.network",
		"[Match]\nName = lo\n[Route]\nDestination = 192.0.2.80/32\nType\t= local\nTable = 100\n"
		"[Route]\nDestination = 192.0.2.81/32\nType = local\n"
		"[RoutingPolicyRule]\nFirewallMark = 1\nTable = 100\n");
	boot_read(&boot, root);
	assert_true(boot.deletes_rules);
	assert_false(boot.deletes_routes);
	assert_true(boot_makes_rule(&boot, 1));
	assert_true(boot_makes_route(&boot, 100, ""));
	assert_false(boot_makes_route(&boot, 7, ""));
	assert_true(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.81"));
}

static void lines_of_ifupdown_make_rules_and_routes(void **state)
{
	(void)state;
	put("/etc/network/interfaces.d/eth0",
		"iface eth0 inet dhcp\n  up ip rule add fwmark 0x1/0x1 lookup 100\n"
		"  up ip route add local 0.0.0.0/0 dev lo table 100\n  up ip route add local 192.0.2.80 dev lo\n"
		"  up ip neigh add proxy 192.0.2.81 dev eth0\n#  up ip rule add fwmark 7 lookup 7\n");
	boot_read(&boot, root);
	assert_true(boot_makes_rule(&boot, 1));
	assert_false(boot_makes_rule(&boot, 7));
	assert_true(boot_makes_route(&boot, 100, ""));
	assert_false(boot_makes_route(&boot, 10, ""));
	assert_true(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.80"));
	assert_false(boot_makes_route(&boot, TABLE_LOCAL, "192.0.2.8"));
	assert_true(boot_names_address(&boot, "192.0.2.81"));
	assert_false(boot_names_address(&boot, "192.0.2.82"));
	assert_false(boot_names_address(&boot, "2.0.2.81"));
}

static void profiles_of_networkmanager_make_rules_and_routes(void **state)
{
	(void)state;
	put("/etc/NetworkManager/system-connections/lo.nmconnection",
		"[connection]\nid=lo\ntype=loopback\n[ipv4]\nmethod=manual\n"
		"route1=0.0.0.0/0\nroute1_options=table=100,type=local\n"
		"route2=192.0.2.80/32\nroute2_options=type=local,table=255\n"
		"route3=198.51.100.0/24,203.0.113.1\nroute3_options=table=7\n"
		"routing-rule1=priority 100 from 0.0.0.0/0 fwmark 0x1/0x1 table 100\n");
	boot_read(&boot, root);
	assert_set_up_is_made();
}

static void networkd_deletes_what_is_not_its_own_unless_a_file_says_otherwise(void **state)
{
	(void)state;
	put("/run/systemd/netif/links/1", "");
	boot_read(&boot, root);
	assert_true(boot.networkd && boot.deletes_rules && boot.deletes_routes);
	boot_free(&boot);
	put("/etc/systemd/networkd.conf.d/keep.conf",
		"[Network]\nManageForeignRoutingPolicyRules=no\n");
	boot_read(&boot, root);
	assert_false(boot.deletes_rules);
	assert_true(boot.deletes_routes);
}

static void packet_rules_count_if_their_service_is_enabled(void **state)
{
	(void)state;
	put("/etc/iptables/rules.v4",
		"*mangle\n-A PREROUTING -p tcp -m socket -j DIVERT\nCOMMIT\n");
	boot_read(&boot, root);
	assert_false(boot_makes_packet_rule(&boot, "-A PREROUTING -p tcp -m socket -j DIVERT"));
	boot_free(&boot);
	enable("netfilter-persistent");
	boot_read(&boot, root);
	assert_true(boot_makes_packet_rule(&boot, "-A PREROUTING -p tcp -m socket -j DIVERT"));
}

static void the_last_file_that_sets_a_sysctl_counts(void **state)
{
	const char *file;
	char *value;

	(void)state;
	put("/usr/lib/sysctl.d/50-default.conf", "-net.ipv4.conf.all.rp_filter = 2\n");
	put("/usr/lib/sysctl.d/90-forward.conf", "net.ipv4.ip_forward=1\n");
	put("/etc/sysctl.d/60-host.conf",
		"# a comment\nnet/ipv4/ip_forward = 0\nnet.ipv4.conf.all.rp_filter=1\n");
	boot_read(&boot, root);
	value = boot_sysctl(&boot, "net.ipv4.conf.all.rp_filter", &file);
	assert_string_equal(value, "1");
	assert_string_equal(file, "/etc/sysctl.d/60-host.conf");
	free(value);
	value = boot_sysctl(&boot, "net.ipv4.ip_forward", &file);
	assert_string_equal(value, "1");
	free(value);
	boot_free(&boot);
	put("/etc/sysctl.d/90-forward.conf", "");
	boot_read(&boot, root);
	value = boot_sysctl(&boot, "net.ipv4.ip_forward", &file);
	assert_string_equal(value, "0");
	free(value);
}

static void assert_at_boot(const char *name, const char *expected)
{
	const char *file;
	char *value = boot_sysctl(&boot, name, &file);

	if (expected == NULL)
		assert_null(value);
	else
		assert_string_equal(value, expected);
	free(value);
}

/* sysctl.d(5): what is set by its name stays, wherever that is; so does what is left out. */
static void patterns_set_what_no_line_names(void **state)
{
	(void)state;
	put("/usr/lib/sysctl.d/50-default.conf",
		"net.ipv4.conf.*.rp_filter = 2\nnet.ipv4.conf.*.accept_local = 1\n"
		"net.ipv4.conf.all.arp_ignore = 1\n-net.ipv4.conf.all.src_valid_mark\n");
	put("/etc/sysctl.d/90-host.conf",
		"net/ipv4/conf/*/rp_filter = 1\nnet.ipv4.conf.*.arp_ignore = 2\nnet.ipv4.conf.*.src_valid_mark=1\n");
	boot_read(&boot, root);
	assert_at_boot("net.ipv4.conf.all.rp_filter", "1");
	assert_at_boot("net.ipv4.conf.all.accept_local", "1");
	assert_at_boot("net.ipv4.conf.all.arp_ignore", "1");
	assert_at_boot("net.ipv4.conf.all.src_valid_mark", NULL);
	assert_at_boot("net.ipv4.conf.eth0.src_valid_mark", "1");
	assert_at_boot("net.ipv4.ip_forward", NULL);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_host_without_such_files_makes_nothing),
		WITH(services_count_if_they_are_enabled),
		WITH(files_of_networkd_make_rules_and_routes),
		WITH(blanks_around_equals_do_not_count),
		WITH(lines_of_ifupdown_make_rules_and_routes),
		WITH(profiles_of_networkmanager_make_rules_and_routes),
		WITH(networkd_deletes_what_is_not_its_own_unless_a_file_says_otherwise),
		WITH(packet_rules_count_if_their_service_is_enabled),
		WITH(the_last_file_that_sets_a_sysctl_counts),
		WITH(patterns_set_what_no_line_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

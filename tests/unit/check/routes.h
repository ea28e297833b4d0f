/*
 * Policy rules and routes of a host with two links: what the tests of links and of routing share.
 */
#ifndef TESTS_ROUTES_H
#define TESTS_ROUTES_H

#include "snapshots.h"

#define LOCAL_RULE "{\"priority\":0,\"src\":\"all\",\"table\":\"255\"},"
#define MAIN_RULE  "{\"priority\":32766,\"src\":\"all\",\"table\":\"254\"}"
#define WAYS                                                                                       \
	"{\"dst\":\"198.51.100.0/24\",\"dev\":\"client0\"},"                                       \
	"{\"dst\":\"203.0.113.0/24\",\"dev\":\"server0\"},"                                        \
	"{\"type\":\"2\",\"dst\":\"198.51.100.1\",\"dev\":\"client0\",\"table\":\"255\"},"         \
	"{\"type\":\"2\",\"dst\":\"203.0.113.1\",\"dev\":\"server0\",\"table\":\"255\"}"
#define COVERS_ALL "{\"type\":\"2\",\"dst\":\"default\",\"dev\":\"lo\",\"table\":\"100\"},"

#define WITH(name) cmocka_unit_test_setup_teardown(name, host_fresh, host_gone)

#endif

/*
 * Rows of statistics: one for each frontend, backend and server, with the fields of HAProxy's `show stat` (management guide,
 * section 9.1), under its names and in its order. A field that means nothing here stays empty.
 */
#ifndef TPROXY_STATS_ROW_H
#define TPROXY_STATS_ROW_H

#include "servers/agent.h"
#include "servers/health.h"
#include "servers/limits.h"
#include "tally.h"
#include "tproxy/config.h"

enum stat_field {
	STAT_PXNAME,
	STAT_SVNAME,
	STAT_QCUR,
	STAT_QMAX,
	STAT_SCUR,
	STAT_SMAX,
	STAT_SLIM,
	STAT_STOT,
	STAT_BIN,
	STAT_BOUT,
	STAT_DREQ,
	STAT_DRESP,
	STAT_EREQ,
	STAT_ECON,
	STAT_ERESP,
	STAT_WRETR,
	STAT_WREDIS,
	STAT_STATUS,
	STAT_WEIGHT,
	STAT_ACT,
	STAT_BCK,
	STAT_CHKFAIL,
	STAT_CHKDOWN,
	STAT_LASTCHG,
	STAT_DOWNTIME,
	STAT_QLIMIT,
	STAT_PID,
	STAT_IID,
	STAT_SID,
	STAT_THROTTLE,
	STAT_LBTOT,
	STAT_TRACKED,
	STAT_TYPE,
	STAT_RATE,
	STAT_RATE_LIM,
	STAT_RATE_MAX,
	STAT_CHECK_STATUS,
	STAT_CHECK_CODE,
	STAT_CHECK_DURATION,
	STAT_HRSP_1XX,
	STAT_HRSP_2XX,
	STAT_HRSP_3XX,
	STAT_HRSP_4XX,
	STAT_HRSP_5XX,
	STAT_HRSP_OTHER,
	STAT_HANAFAIL,
	STAT_REQ_RATE,
	STAT_REQ_RATE_MAX,
	STAT_REQ_TOT,
	STAT_CLI_ABRT,
	STAT_SRV_ABRT,
	STAT_COMP_IN,
	STAT_COMP_OUT,
	STAT_COMP_BYP,
	STAT_COMP_RSP,
	STAT_LASTSESS,
	STAT_LAST_CHK,
	STAT_LAST_AGT,
	STAT_QTIME,
	STAT_CTIME,
	STAT_RTIME,
	STAT_TTIME,
	STAT_AGENT_STATUS,
	STAT_AGENT_CODE,
	STAT_AGENT_DURATION,
	STAT_CHECK_DESC,
	STAT_AGENT_DESC,
	STAT_CHECK_RISE,
	STAT_CHECK_FALL,
	STAT_CHECK_HEALTH,
	STAT_AGENT_RISE,
	STAT_AGENT_FALL,
	STAT_AGENT_HEALTH,
	STAT_ADDR,
	STAT_COOKIE,
	STAT_MODE,
	STAT_ALGO,
	STAT_CONN_RATE,
	STAT_CONN_RATE_MAX,
	STAT_CONN_TOT,
	STAT_INTERCEPTED,
	STAT_DCON,
	STAT_DSES,
	STAT_WREW,
	STAT_CONNECT,
	STAT_REUSE,
	STAT_CACHE_LOOKUPS,
	STAT_CACHE_HITS,
	STAT_SRV_ICUR,
	STAT_SRC_ILIM,
	STAT_QTIME_MAX,
	STAT_CTIME_MAX,
	STAT_RTIME_MAX,
	STAT_TTIME_MAX,
	STAT_EINT,
	STAT_IDLE_CONN_CUR,
	STAT_SAFE_CONN_CUR,
	STAT_USED_CONN_CUR,
	STAT_NEED_CONN_EST,
	STAT_UWEIGHT,
	STAT_AGG_SERVER_STATUS,
	STAT_AGG_SERVER_CHECK_STATUS,
	STAT_AGG_CHECK_STATUS,
	STAT_FIELDS
};

enum stat_kind {
	STAT_EMPTY,
	STAT_U32,
	STAT_S32,
	STAT_U64,
	STAT_TEXT,
};

struct stat_value {
	enum stat_kind kind;
	uint64_t number;
	const char *text;
};

enum {
	STAT_IS_FRONTEND = 1, /* HAProxy's numbers for these, as bits */
	STAT_IS_BACKEND = 2,
	STAT_IS_SERVER = 4,
};

struct stat_row {
	unsigned object;          /* one of the bits above */
	unsigned section, server; /* HAProxy's iid and sid */
	struct stat_value values[STAT_FIELDS];
	const struct tally *tally;
	bool is_maintained, is_down; /* of a server; what the filters go by */
	char status[160], address[ADDR_TEXT_MAX], tracked[128], check[16];
	char agent[16];
	char info[4 * HEALTH_INFO_MAX], agent_info[HEALTH_INFO_MAX];
};

/* What is in force. */
struct stats_subject {
	const struct config *config;
	struct limits *limits;
	struct tallies *tallies;
	struct health *health; /* NULL: no server is checked */
	struct agents *agents; /* NULL: no server has an agent */
	unsigned maxconn;      /* of the process */
	unsigned long descriptors;
	unsigned workers;
};

void row_of_frontend(
	const struct stats_subject *subject, const struct proxy *frontend, struct stat_row *row);
void row_of_backend(
	const struct stats_subject *subject, const struct proxy *backend, struct stat_row *row);
void row_of_server(const struct stats_subject *subject, const struct proxy *backend,
	const struct server *server, struct stat_row *row);

/* Each row of the statistics, with what the filters of `show stat` leave. */
struct row_filter {
	unsigned section; /* iid; 0: all */
	unsigned objects; /* of enum STAT_IS_…; 0: all */
	int server;       /* sid; -1: all */
	bool no_maint, up;
};

typedef void (*row_user)(void *arg, const struct stat_row *row);

void rows_each(const struct stats_subject *subject, const struct row_filter *filter, row_user use,
	void *arg);

/* HAProxy's numbers of a section, and of a server in its backend. */
unsigned row_section_id(const struct proxy *proxy);
unsigned row_server_id(const struct proxy *backend, const struct server *server);

/* The name of a field, and HAProxy's three letters for its origin, nature and scope. Static. */
const char *stat_name(enum stat_field field);
const char *stat_tag(enum stat_field field);

#endif

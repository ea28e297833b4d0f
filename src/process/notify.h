/*
 * Messages to the service manager: sd_notify(3), for units of Type=notify and Type=notify-reload, and
 * sd_watchdog_enabled(3), for units with WatchdogSec=.
 */
#ifndef TPROXY_PROCESS_NOTIFY_H
#define TPROXY_PROCESS_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: no manager wants messages */
	struct sockaddr_un address;
	socklen_t length;
	unsigned long long watchdog; /* µs: a sign of life is due within each; 0: none is */
};

/*
 * Opens a socket where $NOTIFY_SOCKET names one. Call it before system calls are restricted. Without the
 * variable, or where it cannot be used, no message is sent. PID is the process that the manager started, which
 * $WATCHDOG_PID names where the manager wants signs of life from it.
 */
void notify_open(struct notify *notify, pid_t pid);

/* May be called again. */
void notify_close(struct notify *notify);

/* STATUS is one line, which `systemctl status` shows. A message that the manager does not take is lost. */
void notify_ready(const struct notify *notify, const char *status);
void notify_reloading(const struct notify *notify);
void notify_stopping(const struct notify *notify);
void notify_alive(const struct notify *notify);

#endif

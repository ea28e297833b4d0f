/*
 * The protocol is a datagram of lines `NAME=value` to a UNIX socket, whose path may be abstract (`@…`).
 *
 * A manager takes a reload for finished at the READY=1 that follows RELOADING=1. So that it is no older
 * one, RELOADING=1 comes with the time of the monotonic clock.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A positive decimal number, which may be of 64 bits; 0: something else. */
static unsigned long long read_number(const char *text)
{
	unsigned long long number;

	if (text == NULL || text[strspn(text, "0123456789")] != '\0')
		return 0;
	errno = 0;
	number = strtoull(text, NULL, 10);
	return errno == 0 && number != UINT64_MAX ? number : 0;
}

/* Without $WATCHDOG_PID, it is for each process that has the variable. */
static unsigned long long read_watchdog(pid_t pid)
{
	const char *wanted = getenv("WATCHDOG_PID");

	if (wanted != NULL && read_number(wanted) != (unsigned long long)pid)
		return 0;
	return read_number(getenv("WATCHDOG_USEC"));
}

void notify_open(struct notify *notify, pid_t pid)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path == NULL ? 0 : strlen(path);

	*notify = (struct notify){.fd = -1, .address = {.sun_family = AF_UNIX}};
	if (length < 2 || length >= sizeof(notify->address.sun_path) ||
		(path[0] != '/' && path[0] != '@'))
		return;
	memcpy(notify->address.sun_path, path, length);
	if (path[0] == '@')
		notify->address.sun_path[0] = '\0';
	notify->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (notify->fd != -1)
		notify->watchdog = read_watchdog(pid);
}

void notify_close(struct notify *notify)
{
	if (notify->fd != -1)
		close(notify->fd);
	notify->fd = -1;
}

static void send_message(const struct notify *notify, const char *text)
{
	if (notify->fd != -1)
		(void)!sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
			(const struct sockaddr *)&notify->address, notify->length);
}

void notify_ready(const struct notify *notify, const char *status)
{
	char text[256];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	send_message(notify, text);
}

void notify_reloading(const struct notify *notify)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	send_message(notify, text);
}

void notify_stopping(const struct notify *notify)
{
	send_message(notify, "STOPPING=1");
}

void notify_alive(const struct notify *notify)
{
	send_message(notify, "WATCHDOG=1");
}

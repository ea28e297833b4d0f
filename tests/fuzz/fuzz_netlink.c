/*
 * Answers of sock_diag: the linker replaces libmnl's functions by those below, so that the real loop reads
 * made-up messages. Each message has its length (two bytes) before it, and is what one recvfrom() returns.
 * Behind the last one the kernel fails.
 *
 * Framing is the kernel's: the header of a message always has its true length. Else libmnl would read beyond
 * the end.
 */
#include "fuzz.h"
#include "hoststate/sockets.h"

#include <errno.h>
#include <libmnl/libmnl.h>

static const uint8_t *bytes;
static size_t left;

struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags);
int __wrap_mnl_socket_bind(struct mnl_socket *nl, unsigned groups, pid_t pid);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t length);
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *nl, void *room, size_t size);
unsigned __wrap_mnl_socket_get_portid(const struct mnl_socket *nl);
int __wrap_mnl_socket_close(struct mnl_socket *nl);

struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags)
{
	static char socket;

	(void)bus;
	(void)flags;
	return (struct mnl_socket *)&socket;
}

int __wrap_mnl_socket_bind(struct mnl_socket *nl, unsigned groups, pid_t pid)
{
	(void)nl;
	(void)groups;
	(void)pid;
	return 0;
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t length)
{
	(void)nl;
	(void)request;
	return (ssize_t)length;
}

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *nl, void *room, size_t size)
{
	size_t length;

	(void)nl;
	if (left < 2) {
		errno = EIO;
		return -1;
	}
	length = (size_t)bytes[0] | (size_t)bytes[1] << 8;
	bytes += 2;
	left -= 2;
	length = length > left ? left : length;
	length = length > size ? size : length;
	memcpy(room, bytes, length);
	if (length >= sizeof(struct nlmsghdr))
		((struct nlmsghdr *)room)->nlmsg_len = (uint32_t)length;
	bytes += length;
	left -= length;
	return (ssize_t)length;
}

unsigned __wrap_mnl_socket_get_portid(const struct mnl_socket *nl)
{
	(void)nl;
	return 0;
}

int __wrap_mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host_sockets sockets;
	char *problem = NULL;

	bytes = data;
	left = size;
	if (sockets_read(&sockets, &problem))
		sockets_free(&sockets);
	free(problem);
	return 0;
}

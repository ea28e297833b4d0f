/*
 * Requests over netlink.
 *
 * Each request has its own socket, so the rest of an interrupted answer never becomes part of the next one.
 *
 * The trap: an error may come as the end of an answer (NLMSG_DONE), which libmnl does not read. So the messages
 * that end an answer are read here.
 */
#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ANSWER_MAX = 32768, /* bytes; the kernel puts no more into one datagram */
	ERRNO_MAX = 4096    /* MAX_ERRNO of the kernel is one less */
};

int netlink_refuse(int error)
{
	errno = error;
	return MNL_CB_ERROR;
}

/*
 * NLMSG_DONE and NLMSG_ERROR both begin with a number: 0, or an errno with a minus before it. An error of 0
 * is an acknowledgement. No request here asks for one, so it is refused: only NLMSG_DONE ends a list.
 */
static int read_end(const struct nlmsghdr *message, void *context)
{
	int error;

	(void)context;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(error))
		return netlink_refuse(EPROTO);
	memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
	if (error == 0 && message->nlmsg_type == NLMSG_DONE)
		return MNL_CB_STOP;
	return netlink_refuse(error < 0 && error > -ERRNO_MAX ? -error : EPROTO);
}

static int read_overrun(const struct nlmsghdr *message, void *context)
{
	(void)message;
	(void)context;
	return netlink_refuse(ENOBUFS);
}

int netlink_parse(const void *data, size_t length, unsigned port, mnl_cb_t take, void *context)
{
	mnl_cb_t controls[NLMSG_MIN_TYPE] = {
		[NLMSG_ERROR] = read_end, [NLMSG_DONE] = read_end, [NLMSG_OVERRUN] = read_overrun};

	return mnl_cb_run2(
		data, length, 0, port, take, context, controls, MNL_ARRAY_SIZE(controls));
}

int netlink_attributes(
	const struct nlmsghdr *message, size_t header, mnl_attr_cb_t take, void *context)
{
	const char *payload = mnl_nlmsg_get_payload(message);

	return mnl_attr_parse_payload(
		payload + header, mnl_nlmsg_get_payload_len(message) - header, take, context);
}

static int read_answer(struct mnl_socket *netlink, mnl_cb_t take, void *context)
{
	char *answer = malloc(ANSWER_MAX);
	int more = MNL_CB_OK;

	if (answer == NULL)
		abort(); /* out of memory */
	while (more > MNL_CB_STOP) {
		ssize_t length = mnl_socket_recvfrom(netlink, answer, ANSWER_MAX);

		if (length > 0)
			more = netlink_parse(answer, (size_t)length, mnl_socket_get_portid(netlink),
				take, context);
		else
			more = length == 0 ? netlink_refuse(EPROTO) : MNL_CB_ERROR;
	}
	free(answer);
	return more;
}

int netlink_request(int bus, const struct nlmsghdr *request, mnl_cb_t take, void *context)
{
	struct mnl_socket *netlink = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int result = -1, error;

	if (netlink == NULL)
		return -1;
	if (mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) != -1 &&
		mnl_socket_sendto(netlink, request, request->nlmsg_len) != -1)
		result = read_answer(netlink, take, context);
	error = errno;
	mnl_socket_close(netlink);
	errno = error;
	return result;
}

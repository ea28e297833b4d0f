/*
 * Steps are taken until one has to wait for the socket, and go on from there. An answer is judged each time that more of it
 * has come; expectations that follow each other are all judged anew then, as in HAProxy.
 *
 * The trap: a server may answer and reset at once. So an error counts only where nothing came before it.
 */
#include "attempt.h"

#include "tproxy/proxy_header.h"
#include "tproxy/socket.h"
#include "upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct health_step connect_only = {.action = HEALTH_CONNECT, .as_server = true};
static const struct health_script no_script = {HEALTH_BY_PROTOCOL, &connect_only, 1};

static const struct health_script *script_of(const struct attempt *attempt)
{
	return attempt->target->script != NULL ? attempt->target->script : &no_script;
}

static const struct health_step *current_step(const struct attempt *attempt)
{
	return &script_of(attempt)->steps[attempt->step];
}

/* --- the end --- */

/* The connection that is open was made by the last step that connects. */
static bool lingers(const struct attempt *attempt)
{
	const struct health_step *steps = script_of(attempt)->steps;
	size_t step = attempt->step < script_of(attempt)->count ? attempt->step : attempt->step - 1;

	while (step > 0 && steps[step].action != HEALTH_CONNECT)
		step--;
	return steps[step].linger;
}

static void close_connection(struct attempt *attempt)
{
	if (attempt->fd == -1)
		return;
	event_del(&attempt->ready);
	if (!lingers(attempt))
		socket_reset_on_close(attempt->fd);
	close(attempt->fd);
	attempt->fd = -1;
}

void attempt_stop(struct attempt *attempt)
{
	if (attempt->target == NULL)
		return;
	close_connection(attempt);
	event_del(&attempt->deadline);
	free(attempt->bytes);
	attempt->bytes = NULL;
	attempt->target = NULL;
}

/* The observer may begin the next one; so it gets the input without its owner. */
static void finish(struct attempt *attempt, const struct health_verdict *verdict)
{
	char *bytes = attempt->bytes;

	attempt->bytes = NULL;
	attempt_stop(attempt);
	attempt->observer(attempt->arg, verdict);
	free(bytes);
}

static void finish_broken(struct attempt *attempt, enum health_status status, int error)
{
	health_break(script_of(attempt), current_step(attempt), status, error, &attempt->verdict);
	finish(attempt, &attempt->verdict);
}

/* --- waiting --- */

static void set_deadline(struct attempt *attempt, unsigned milliseconds)
{
	struct timeval wait = {milliseconds / 1000, milliseconds % 1000 * 1000};

	evtimer_add(&attempt->deadline, &wait);
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

/* False: there is no memory, and the attempt has ended. */
static bool wait_for(struct attempt *attempt, short what)
{
	event_del(&attempt->ready);
	event_assign(&attempt->ready, event_get_base(&attempt->deadline), attempt->fd, what,
		on_ready, attempt);
	if (event_add(&attempt->ready, NULL) == 0)
		return true;
	finish(attempt, NULL);
	return false;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	const struct health_step *step = current_step(attempt);

	(void)fd;
	(void)what;
	finish_broken(attempt,
		step->action == HEALTH_CONNECT  ? HEALTH_L4TOUT
		: step->action == HEALTH_EXPECT ? step->silent
						: HEALTH_L7TOUT,
		0);
}

static void forget_input(struct attempt *attempt)
{
	attempt->input = (struct health_input){0};
	attempt->error = 0;
	attempt->fresh = true;
}

/* --- connecting --- */

static struct addr address_of(const struct attempt *attempt, const struct health_step *step)
{
	bool own = addr_family(&step->address) != AF_UNSPEC;
	struct addr address = own ? step->address : attempt->target->address;

	if (step->port != 0)
		addr_set_port(&address, (uint16_t)step->port);
	else if (addr_port(&address) == 0)
		addr_set_port(&address, addr_port(&attempt->target->address));
	return address;
}

/* Nothing follows from it for the server. */
static bool is_of_this_host(enum reason reason)
{
	return reason == REASON_DESCRIPTORS || reason == REASON_MEMORY ||
	       reason == REASON_SOURCE_IN_USE || reason == REASON_SOURCE_EXHAUSTED;
}

static void open_connection(struct attempt *attempt, const struct health_step *step)
{
	struct addr address = address_of(attempt, step);
	struct upstream_failure failure;

	forget_input(attempt);
	attempt->left.length = 0;
	set_deadline(attempt, attempt->target->connect);
	attempt->fd = upstream_open_check(
		&attempt->target->source, &address, script_of(attempt) == &no_script, &failure);
	if (attempt->fd != -1)
		wait_for(attempt, EV_WRITE);
	else if (is_of_this_host(failure.reason))
		finish(attempt, NULL);
	else
		finish_broken(attempt, HEALTH_L4CON, failure.error);
}

/* --- sending --- */

/* False: the rest has to wait, or the attempt has ended. */
static bool send_rest(struct attempt *attempt)
{
	while (attempt->left.length > 0) {
		ssize_t sent =
			send(attempt->fd, attempt->left.bytes, attempt->left.length, MSG_NOSIGNAL);

		if (sent == -1 && (errno == EAGAIN || errno == EINTR)) {
			wait_for(attempt, EV_WRITE);
			return false;
		}
		if (sent == -1) {
			finish_broken(attempt, HEALTH_SOCKERR, errno);
			return false;
		}
		attempt->left.bytes += sent;
		attempt->left.length -= (size_t)sent;
	}
	return true;
}

/* In version 2, it says that the connection is the proxy's own; version 1 has no such word, and names the connection. */
static bool send_header(struct attempt *attempt, const struct health_step *step)
{
	struct addr from, to = address_of(attempt, step);
	enum proxy_header_version version =
		step->as_server ? attempt->target->header : PROXY_HEADER_NONE;

	if (step->send_proxy)
		version = PROXY_HEADER_V1;
	if (version == PROXY_HEADER_NONE)
		return true;
	if (!socket_local_address(attempt->fd, &from)) {
		finish_broken(attempt, HEALTH_SOCKERR, errno);
		return false;
	}
	attempt->left.bytes = attempt->header;
	attempt->left.length = version == PROXY_HEADER_V2
				       ? proxy_header_write_local(attempt->header)
				       : proxy_header_write(attempt->header, version, &from, &to);
	return send_rest(attempt);
}

/* A server that refuses has another error, so this one was connected; what it said may be there. */
static bool is_reset_in_time(struct attempt *attempt, int error)
{
	const struct health_script *script = script_of(attempt);
	size_t next = attempt->step + 1;

	attempt->was_reset = error == ECONNRESET && next < script->count &&
			     script->steps[next].action == HEALTH_EXPECT;
	return attempt->was_reset;
}

/* What begins once the connection is there. */
static bool is_connected(struct attempt *attempt, const struct health_step *step)
{
	int error = socket_take_error(attempt->fd);

	if (is_reset_in_time(attempt, error))
		return true;
	if (error != 0) {
		finish_broken(attempt, HEALTH_L4CON, error);
		return false;
	}
	if (attempt->target->answer != 0)
		set_deadline(attempt, attempt->target->answer);
	return send_header(attempt, step);
}

/* --- receiving --- */

/* Reads what has come. False: nothing, or the attempt has ended. */
static bool receive(struct attempt *attempt)
{
	size_t before = attempt->input.length;

	if (attempt->bytes == NULL)
		attempt->bytes = malloc(HEALTH_INPUT_MAX + 1);
	if (attempt->bytes == NULL) {
		finish(attempt, NULL);
		return false;
	}
	attempt->input.bytes = attempt->bytes;
	while (!attempt->input.last) {
		ssize_t got = recv(attempt->fd, attempt->bytes + attempt->input.length,
			HEALTH_INPUT_MAX - attempt->input.length, 0);

		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (got == -1)
			attempt->error = errno;
		else if (got == 0 && attempt->was_reset)
			attempt->error = ECONNRESET;
		else
			attempt->input.length += (size_t)got;
		attempt->input.last = got <= 0 || attempt->input.length == HEALTH_INPUT_MAX;
	}
	attempt->bytes[attempt->input.length] = '\0';
	if (attempt->error != 0 && attempt->input.length == 0) {
		finish_broken(attempt, HEALTH_SOCKERR, attempt->error);
		return false;
	}
	if (attempt->input.last || attempt->input.length > before)
		return true;
	wait_for(attempt, EV_READ);
	return false;
}

/* Back to the first of the expectations that judge the same bytes. */
static void wait_for_more(struct attempt *attempt)
{
	const struct health_step *steps = script_of(attempt)->steps;

	while (steps[attempt->step - 1].action == HEALTH_EXPECT)
		attempt->step--;
	attempt->fresh = true;
	wait_for(attempt, EV_READ);
}

/* False: it waits, or has ended. */
static bool expect(struct attempt *attempt, const struct health_step *step)
{
	if (attempt->fresh && !receive(attempt))
		return false;
	attempt->fresh = false;
	switch (health_judge(script_of(attempt), step, &attempt->input, &attempt->verdict)) {
	case HEALTH_GOES_ON:
		return true;
	case HEALTH_WAITS:
		wait_for_more(attempt);
		return false;
	case HEALTH_ENDS:
		break;
	}
	finish(attempt, &attempt->verdict);
	return false;
}

/* --- the steps --- */

/* Takes the step up, whatever came before it. False: it waits, or the attempt has ended. */
static bool begin_step(struct attempt *attempt, const struct health_step *step)
{
	attempt->verdict.code = 0;
	switch (step->action) {
	case HEALTH_CONNECT:
		close_connection(attempt);
		open_connection(attempt, step);
		return false;
	case HEALTH_SEND:
		forget_input(attempt);
		attempt->left = step->data;
		return send_rest(attempt);
	case HEALTH_EXPECT:
		break;
	}
	return expect(attempt, step);
}

/* Takes the steps from the current one on. */
static void take_steps(struct attempt *attempt)
{
	while (attempt->step < script_of(attempt)->count) {
		if (!begin_step(attempt, current_step(attempt)))
			return;
		attempt->step++;
	}
	health_pass(script_of(attempt), &attempt->input, &attempt->verdict);
	finish(attempt, &attempt->verdict);
}

/* Goes on with the step that waited for the socket. */
static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	const struct health_step *step = current_step(attempt);
	bool done = true;

	(void)fd;
	(void)what;
	event_del(&attempt->ready);
	if (attempt->left.length > 0)
		done = send_rest(attempt);
	else if (step->action == HEALTH_CONNECT)
		done = is_connected(attempt, step);
	if (!done)
		return;
	if (step->action != HEALTH_EXPECT)
		attempt->step++;
	take_steps(attempt);
}

void attempt_init(
	struct attempt *attempt, struct event_base *base, attempt_observer observer, void *arg)
{
	*attempt = (struct attempt){.observer = observer, .arg = arg, .fd = -1};
	evtimer_assign(&attempt->deadline, base, on_deadline, attempt);
	event_assign(&attempt->ready, base, -1, 0, on_ready, attempt);
}

void attempt_start(struct attempt *attempt, const struct attempt_target *target)
{
	attempt->target = target;
	attempt->step = 0;
	attempt->verdict = (struct health_verdict){0};
	take_steps(attempt);
}

/*
 * First turns are due at multiples of SCHEDULE_SLOT on the clock, so those of one slot begin in one turn of the event loop, and go on
 * together. To be woken for each of a thousand checks a second would cost as much as half of the checks' own system calls.
 *
 * The trap: turns are counted from when the last one was due, and not from when it began. Those that were late together would stay
 * together.
 */
#include "schedule.h"

#include "tproxy/clock.h"

static void set_timer(struct schedule *schedule, long long milliseconds)
{
	struct timeval wait = {0, 0};

	if (milliseconds > 0)
		wait = (struct timeval){milliseconds / 1000, milliseconds % 1000 * 1000};
	evtimer_add(&schedule->timer, &wait);
}

void schedule_init(
	struct schedule *schedule, struct event_base *base, event_callback_fn turn, void *arg)
{
	schedule->due = 0;
	evtimer_assign(&schedule->timer, base, turn, arg);
}

void schedule_begin(struct schedule *schedule, unsigned wait)
{
	long long now = clock_ms();

	schedule->due = (now + wait) / SCHEDULE_SLOT * SCHEDULE_SLOT;
	set_timer(schedule, schedule->due - now);
}

void schedule_next(struct schedule *schedule, unsigned step)
{
	long long now = clock_ms();

	schedule->due += step;
	if (schedule->due < now)
		schedule->due += (now - schedule->due) / step * step;
	set_timer(schedule, schedule->due - now);
}

void schedule_continue(struct schedule *schedule, const struct schedule *before, unsigned step)
{
	schedule->due = before->due;
	schedule_next(schedule, step);
}

void schedule_advance(struct schedule *schedule, unsigned wait)
{
	if (schedule->due > clock_ms() + wait)
		schedule_begin(schedule, wait);
}

void schedule_stop(struct schedule *schedule)
{
	event_del(&schedule->timer);
}

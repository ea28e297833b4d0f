"""How the lab waits for an event, and for how long.

No test asserts a duration. A test waits for an event, and `seconds` (the option --patience) is only how long the lab
waits before it gives up. So a loaded machine makes a run slower and fails no test. An event that did not happen is
a TimeoutError.
"""

import select
import time

DEFAULT = 60.0  # seconds: tests of eight lanes on a slow machine get little of a second
seconds = DEFAULT


def deadline():
    return time.monotonic() + seconds


def until(condition, what, pause=0.001, times=1):
    """Call condition() until its result is true, and return that; TimeoutError after `times` as many as `seconds`.

    `what` names the event, for the message. `pause` is the first pause between two calls, in seconds.
    """
    end = time.monotonic() + times * seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"waited {times * seconds:g} s, and this did not happen: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def readable(sockets, timeout, ends=()):
    """Those of the sockets that have something to read, or an end; waits `timeout` seconds for one.

    Of the sockets in `ends` only an end of what is received counts, also if bytes come before it.
    """
    poll, by_number = select.poll(), {made.fileno(): made for made in [*sockets, *ends]}
    for made in sockets:
        poll.register(made.fileno(), select.POLLIN)
    for made in ends:
        poll.register(made.fileno(), select.POLLRDHUP)
    return [by_number[number] for number, _ in poll.poll(max(0.0, timeout) * 1000)]


def ended(made, timeout):
    """Whether both directions of a connection end, by a reset say, within `timeout` seconds; nothing is read."""
    poll = select.poll()
    poll.register(made.fileno(), 0)
    return bool(poll.poll(timeout * 1000))


def writable(made):
    """Whether a socket takes more bytes now."""
    poll = select.poll()
    poll.register(made.fileno(), select.POLLOUT)
    return bool(poll.poll(0))

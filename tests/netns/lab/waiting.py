"""How long the lab waits for something that is to happen, and how it waits.

No test asserts a duration. What is to happen is awaited, and `seconds` is only when the lab stops
hoping; a loaded machine makes a run slower, not redder.
"""

import select
import time

seconds = 15.0


class NeverHappened(AssertionError):
    """Something that should have happened did not."""


def deadline():
    return time.monotonic() + seconds


def until(condition, what, pause=0.001):
    """Poll condition() until it gives something true, and return that; `pause` follows a first look in vain."""
    end = deadline()
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise NeverHappened(f"waited {seconds:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def readable(sockets, timeout):
    """Those of the sockets that have something to read, or an end; waits `timeout` seconds for one."""
    poll, by_number = select.poll(), {made.fileno(): made for made in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN)
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

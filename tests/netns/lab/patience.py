"""How long the lab waits for something that is to happen, and how it waits.

No test asserts a duration. What is to happen is awaited, and `seconds` is only when the lab stops
hoping; a loaded machine makes a run slower, not redder.
"""

import time

seconds = 15.0


class NeverHappened(AssertionError):
    """Something that should have happened did not."""


def deadline():
    return time.monotonic() + seconds


def until(condition, what):
    """Poll condition() until it gives something true, and return that."""
    end, pause = deadline(), 0.001
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise NeverHappened(f"waited {seconds:g} s in vain: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)

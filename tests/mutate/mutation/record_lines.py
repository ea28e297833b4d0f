"""Writes which lines of its folder a proxy runs, for the test that started it (PYTEST_CURRENT_TEST).

The judge copies this file beside the recorded sources, and the adapter of the copy imports it first. Each line is
written when it runs for the first time, because a test kills its proxy.
"""

import hashlib
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def file_of(test):
    """The file of a test's lines, by its pytest id."""
    return os.path.join("lines", hashlib.sha256(test.encode()).hexdigest()[:16])


def record():
    """Record this process from now on."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    out = os.open(os.path.join(FOLDER, file_of(test)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    seen = set()

    def write_line(frame, event, _):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in seen:
            seen.add(place)
            os.write(out, f"{os.path.basename(place[0])}:{place[1]}\n".encode())
        return write_line

    def enter(frame, _event, _):
        return write_line if frame.f_code.co_filename.startswith(FOLDER) else None

    sys.settrace(enter)

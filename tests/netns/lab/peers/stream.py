"""Byte streams that are checked while they arrive, and not kept.

A stream repeats one pseudo-random block. A byte's position alone says which value it has, so both ends check against
the same block, and nothing is stored or hashed. The block's length is odd and has no common factor with buffer sizes, so a
check finds data that is dropped, repeated or swapped by whole buffers.
"""

import contextlib
import random
import threading

from lab import waiting

BLOCK = 4 * 1024 * 1024 + 4099
PIECE = 256 * 1024
LIMIT = 16 * 1024 * 1024  # far more than four socket buffers and a proxy's own buffers

_data = random.SystemRandom().randbytes(BLOCK)  # no proxy can know it
_view = memoryview(_data + _data[:PIECE])


def expected(position, size):
    """The bytes of the stream at a position; `size` is at most PIECE."""
    start = position % BLOCK
    return _view[start : start + size]


def feed(connection, total, seed, largest=PIECE):
    """Send `total` bytes in writes of random sizes, short ones among them."""
    chance = random.Random(seed)
    position = 0
    while position < total:
        size = chance.choice((chance.randint(1, 1500), chance.randint(1, largest), largest))
        size = min(size, total - position)
        with saying(connection, f"could not send byte {position} of a stream to {{peer}}"):
            connection.socket.sendall(expected(position, size))
        position += size


def push_until_stuck(sender, elsewhere, times):
    """Send expected() bytes until the socket takes no more; return how many.

    It is stuck when it takes nothing while elsewhere(), something that the proxy does for another client, is done
    `times` times. A socket that takes more than LIMIT shows a proxy that reads without limit.
    """
    pushed, done = 0, 0
    sender.socket.setblocking(False)
    while done < times:
        assert pushed < LIMIT, "the proxy reads without limit, although nothing takes the bytes"
        if waiting.writable(sender.socket):
            pushed += sender.socket.send(expected(pushed, PIECE))
            done = 0
        else:
            elsewhere()
            done += 1
    sender.socket.settimeout(waiting.seconds)
    return pushed


def check(connection, total, pause=None):
    """Receive `total` bytes and compare each; `pause(position)` is called now and then."""
    buffer = bytearray(PIECE)
    position = 0
    while position < total:
        size = min(PIECE, total - position)
        if size < len(buffer):
            buffer = bytearray(size)
        fill(connection, memoryview(buffer), position)
        if buffer != expected(position, size):
            raise AssertionError(f"byte {position + first_difference(buffer, position)} is wrong")
        position += size
        if pause:
            pause(position)


def fill(connection, view, position):
    filled = 0
    while filled < len(view):
        with saying(connection, f"waited {{seconds}} s for byte {position + filled} of a stream from {{peer}}"):
            got = connection.socket.recv_into(view[filled:])
        if got == 0:
            raise AssertionError(f"the stream ended after {position + filled} bytes")
        filled += got


def saying(connection, what):
    """Connection.saying(), where the connection has it: an end that speaks HTTP has messages of its own."""
    return connection.saying(what) if hasattr(connection, "saying") else contextlib.nullcontext()


def first_difference(buffer, position):
    wanted = expected(position, len(buffer))
    return next(i for i, byte in enumerate(buffer) if byte != wanted[i])


def together(*jobs):
    """Run jobs at the same time; the first exception of any is raised when all have ended."""
    failures = []

    def guarded(job):
        try:
            job()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]

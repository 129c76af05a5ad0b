"""Deadlines: interrupt work that takes too long, whatever it is doing.

They use a signal, so they work only in the main thread of a Unix process. A call into a library is
interrupted when it returns; if it never does, the supervisor kills the process.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(BaseException):
    """A deadline has passed. Not an Exception, so that no handler on the way catches it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block after `seconds`."""

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)

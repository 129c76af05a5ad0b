"""Deadlines: work that takes too long is broken off, whatever it is doing.

By a signal, so in the main thread of a Unix process alone. A call into a library is broken off
when it returns; one that never does is the supervisor's to kill.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(BaseException):
    """A deadline has passed. No Exception: nobody on the way may take it for an error."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block when it has run this long."""

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)

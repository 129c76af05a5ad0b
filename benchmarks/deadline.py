"""Deadlines: work that takes too long is broken off, whatever it is doing.

By a signal, so in the main thread of a Unix process alone. A call into a library is broken off
when it returns.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LEAST_SECONDS = 0.001


class OutOfTime(BaseException):
    """A deadline has passed. No Exception: nobody on the way may take it for an error."""


class Clock:
    """What is left of the time that a whole command has."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = time.monotonic()

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self._started)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block when it has run this long.

    A timer that somebody else has set is stopped meanwhile, and goes on behind it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, end)
    timer = signal.setitimer(signal.ITIMER_REAL, max(seconds, _LEAST_SECONDS))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)

"""Timing: a median of repeats, after a warm-up that is not counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to measure: so many repeats, fewer once this many seconds are spent."""

    repeats: int = 3
    seconds: float = 10.0


ONCE = Patience(repeats=1)


@dataclass(frozen=True)
class Timed:
    """Seconds of the repeat in the middle (of two the faster), its number, and how many."""

    seconds: float
    middle: int
    repeats: int


def repeated(measure: Callable[[], float], patience: Patience) -> Timed:
    """Take a measurement in seconds until patience ends.

    What takes long is not repeated: what disturbs it is averaged within it.
    """
    seconds: list[float] = []
    while not seconds or (len(seconds) < patience.repeats and sum(seconds) < patience.seconds):
        seconds.append(measure())
    return median_of(seconds)


def timed(work: Callable[[], object], patience: Patience) -> Timed:
    """Time `work`; what it must warm up has been before."""
    return repeated(lambda: seconds_of(work), patience)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall clock of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_of(seconds: list[float]) -> Timed:
    """The repeat in the middle.

    >>> median_of([3.0, 9.0, 2.0, 4.0])
    Timed(seconds=3.0, middle=0, repeats=4)
    """
    middle = sorted(range(len(seconds)), key=seconds.__getitem__)[(len(seconds) - 1) // 2]
    return Timed(seconds[middle], middle, len(seconds))

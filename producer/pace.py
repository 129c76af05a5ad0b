"""The pace of a run that is watched, from its first samples on."""

import time
from collections.abc import Callable


class Pace:
    """Samples per second since work was first seen, by which the time that is left is told.

    What was answered before that, as by an earlier day's workers, does not count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: int | None = None
        self._since: float | None = None
        self._answered = 0

    def note(self, answered: int, is_at_work: bool) -> None:
        """Note how many samples are answered now, and whether a worker has a shard."""
        if self._before is None:
            self._before = answered
        if self._since is None and (is_at_work or answered > self._before):
            self._before, self._since = answered, self._clock()
        self._answered = answered

    @property
    def rate(self) -> float | None:
        """Samples per second, or None before any was answered."""
        if self._before is None or self._since is None or self._answered <= self._before:
            return None
        seconds = self._clock() - self._since
        return (self._answered - self._before) / seconds if seconds > 0 else None

    def seconds_left(self, unanswered: int) -> float | None:
        return unanswered / self.rate if self.rate else None


def shown_seconds(seconds: float | None) -> str:
    """Return a length of time as hours, minutes and seconds, or a dash.

    >>> shown_seconds(3725.2), shown_seconds(8), shown_seconds(None)
    ('1:02:05', '0:08', '-')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""Affinity: a worker stays with the queue it last took from, so that its model stays loaded.

kombu's own strategies either alternate (a model is swapped at every task) or starve the later
queues. This one stays with a queue for a quantum of time and then moves on.
"""

import time
from collections.abc import Iterable
from typing import Any

from kombu.utils.scheduling import round_robin_cycle

QUANTUM_SECONDS = 600.0


class StickyCycle(round_robin_cycle):
    """Round robin that puts the last used queue first until its quantum is over."""

    # On the class: a reconnect makes a new channel with a new cycle; the model stays loaded.
    current: Any = None
    since = 0.0

    def update(self, it: Iterable[Any]) -> None:
        super().update(it)  # type: ignore[no-untyped-call]
        self._stay()

    def rotate(self, last_used: Any) -> Any:
        cls = type(self)
        if last_used != cls.current:
            cls.current, cls.since = last_used, time.monotonic()
        super().rotate(last_used)  # type: ignore[no-untyped-call]
        self._stay()
        return last_used

    def _stay(self) -> None:
        cls = type(self)
        if cls.current in self.items and time.monotonic() - cls.since < QUANTUM_SECONDS:
            self.items.remove(cls.current)
            self.items.insert(0, cls.current)

"""Suspicions: rows that seemed to be lost, to be believed at a later look."""

import time
from dataclasses import dataclass

import numpy as np

from common.store.parts import RowNumbers
from common.store.runs import RunFolder

CONFIRM_SECONDS = 3.0
CONFIRM_MERGE_SECONDS = 10.0
"""Longer, as a merge that another does cannot be seen, and costs more than a message."""


@dataclass(frozen=True)
class _Suspicion:
    generation: str
    rows: RowNumbers
    since: float


class Suspicions:
    """For each run what seemed to be lost at a look."""

    def __init__(self) -> None:
        self._by_run: dict[str, _Suspicion] = {}

    def confirmed(self, run: RunFolder, rows: RowNumbers, seconds: float) -> RowNumbers:
        """Return the rows of these that were lost at a look so many seconds ago, too.

        Such rows are forgotten; the others are remembered.
        """
        name, now = str(run.key), time.monotonic()
        before = self._by_run.get(name)
        if before is None or before.generation != run.record.generation:
            self._by_run[name] = _Suspicion(run.record.generation, rows, now)
            return rows[:0]
        still = np.intersect1d(rows, before.rows)
        if len(still) and now - before.since < seconds:
            return rows[:0]
        self._by_run.pop(name)
        if not len(still):
            return self.confirmed(run, rows, seconds)
        return still

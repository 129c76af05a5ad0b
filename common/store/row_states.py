"""What the parts of a run say of each of its rows, and what a retry makes of that."""

from collections.abc import Collection, Sequence

import numpy as np

from common.store.part_names import PartName
from common.store.parts import RowFlags, RowNumbers, list_parts, read_info
from common.store.retries import Retry, needed_attempts, read_retries
from common.store.runs import RunFolder


class RowStates:
    """The rows of a run, as the parts say that were added.

    answered_by: for each row the highest attempt of a part that holds it, 0 if none does.
    ok: whether some part holds it without an error.
    """

    def __init__(self, num_samples: int, retries: Sequence[Retry]) -> None:
        self.answered_by: RowNumbers = np.zeros(num_samples, dtype=np.int64)
        self.ok: RowFlags = np.zeros(num_samples, dtype=bool)
        self._retries = retries
        self._needed = needed_attempts(num_samples, retries)

    def add(self, rows: Collection[int], failed: Collection[int], attempt: int) -> None:
        """Add a part. failed: its rows with an error."""
        numbers = np.asarray(rows, dtype=np.int64)
        self.answered_by[numbers] = np.maximum(self.answered_by[numbers], attempt)
        self.ok[np.setdiff1d(numbers, np.asarray(failed, dtype=np.int64))] = True

    @property
    def held(self) -> RowFlags:
        """Rows that some part holds."""
        return self.answered_by > 0

    @property
    def present(self) -> RowFlags:
        """Rows that count as answered: not those that are withdrawn and not answered again."""
        return self.answered_by >= self._needed

    @property
    def again(self) -> RowFlags:
        """Rows that are withdrawn and not answered again."""
        return self.held & ~self.present

    @property
    def failed(self) -> RowFlags:
        """Rows that count as answered, with an error."""
        return self.present & ~self.ok

    def tries(self) -> RowNumbers:
        """How often each row was answered: once, and once more for each retry that has it."""
        tries = self.held.astype(np.int64)
        for retry in self._retries:
            rows = np.array(retry.rows, dtype=np.int64)
            tries[rows[self.answered_by[rows] >= retry.attempt]] += 1
        return tries


def read_row_states(run: RunFolder, paths: Sequence[str] | None = None) -> RowStates:
    """Read what parts say. paths: of the parts, from a listing that the caller has made.

    Parts are opened whose names do not tell their rows and which of them failed.
    """
    paths = list_parts(run) if paths is None else paths
    states = RowStates(run.spec.num_samples, read_retries(run))
    for path in paths:
        name = PartName.parse(path)
        if name and name.has_every_row and not name.num_failed:
            states.add(range(name.first, name.last + 1), (), name.attempt)
        else:
            info = read_info(run, path)
            states.add(info.rows, info.failed, info.attempt)
    return states

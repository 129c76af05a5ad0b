"""Withdrawing rows of a run that failed, so that they are answered again."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.store.part_names import PartName
from common.store.parts import RowFlags, RowNumbers, list_parts, read_part
from common.store.retries import Retry, claim_retry, latest_attempt
from common.store.row_states import read_row_states
from common.store.runs import RunFolder


def withdraw(run: RunFolder, every: bool = False) -> int:
    """Withdraw rows that failed by a fault of a worker; return how many.

    every: also those that failed by their own fault. Rows that are withdrawn already, and not yet
    answered again, are not withdrawn once more.
    Raises OverwrittenRun if the run was overwritten since it was opened, and UsageError if one of
    its files is damaged.
    """
    while True:
        run.check_stands()
        # The number first: who withdraws rows at the same time takes this number too, or is seen.
        attempt = latest_attempt(run) + 1
        rows = _rows_to_retry(run, every)
        if not len(rows):
            return 0
        if claim_retry(run, Retry(attempt, tuple(rows.tolist()))):
            run.check_stands()
            return len(rows)


def _rows_to_retry(run: RunFolder, every: bool) -> RowNumbers:
    failed = read_row_states(run).failed
    return np.flatnonzero(failed if every or not failed.any() else failed & _by_worker(run))


def _by_worker(run: RunFolder) -> RowFlags:
    """Flag the rows whose last failure was a worker's fault, among those that failed."""
    by_worker = np.zeros(run.spec.num_samples, dtype=bool)
    for path in _parts_with_failures(run):
        table = read_part(run.store, path)
        row, failed = table["row"].to_numpy(), table["error"].is_valid().to_numpy()
        worker = pc.is_in(table["error_kind"], value_set=pa.array(["worker"])).to_numpy()
        by_worker[row[failed]] = False
        by_worker[row[worker]] = True
    return by_worker


def _parts_with_failures(run: RunFolder) -> list[str]:
    """Paths of the parts in which a row failed, those of the last attempt last."""
    parts = [(name.attempt, p) for p in list_parts(run) if (name := PartName.parse(p))]
    return [p for _, p in sorted(parts) if (name := PartName.parse(p)) and name.num_failed]

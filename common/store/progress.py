"""Progress of a run: rows ok, failed and missing, from the names of its files.

One listing tells it, and nothing is opened; merging checks the names against the content. Only
for rows in two parts, as after a shard that was answered twice, the metadata of parts is read.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from common.store.filesystem import StoredFile
from common.store.merged_mark import has_mark
from common.store.part_names import PartName
from common.store.parts import RowNumbers, list_parts, name_of, read_info
from common.store.runs import RunFolder

RowFlags = np.ndarray[Any, np.dtype[np.bool_]]
"""One bool for each sample of a run."""


def present_rows(run: RunFolder) -> RowFlags:
    """Flag the rows that some part holds."""
    present = np.zeros(run.spec.num_samples, dtype=bool)
    for path in list_parts(run):
        present[_rows_of(run, path)] = True
    return present


def done_rows(run: RunFolder) -> list[int]:
    """Numbers of the rows that some part holds."""
    rows: list[int] = np.flatnonzero(present_rows(run)).tolist()
    return rows


def missing_rows(run: RunFolder) -> RowNumbers:
    """Numbers of the rows that no part holds: what is left to answer."""
    return np.flatnonzero(~present_rows(run))


def has_rows(run: RunFolder, rows: Sequence[int]) -> bool:
    """Whether parts hold all of these rows."""
    return bool(present_rows(run)[list(rows)].all())


@dataclass(frozen=True)
class Progress:
    """The number of samples of a run that are answered, failed and missing.

    rate: samples per second between the first part and the last, or None before the second.
    seconds_left: at that rate.
    """

    expected: int
    ok: int
    failed: int
    merged: bool
    rate: float | None

    @property
    def missing(self) -> int:
        return self.expected - self.ok - self.failed

    @property
    def state(self) -> str:
        if self.missing:
            return "running" if self.ok or self.failed else "queued"
        return "merged" if self.merged else "complete"

    @property
    def seconds_left(self) -> float | None:
        return self.missing / self.rate if self.rate else None


def read_progress(run: RunFolder, files: Sequence[StoredFile] | None = None) -> Progress:
    """Count the rows of all parts; a row in two parts counts once.

    files: those of the run, its merged file included, from a listing that the caller has made.
    Raises UsageError if a link leads the parts outside the store.
    """
    run.store.inside(run.file("parts"))  # A listing follows links.
    if files is None:
        files = run.list_files()
    paths = {file.path for file in files}
    parts = {file: name for file in files if (name := name_of(run, file.path))}
    answered, failed = _count(run, parts)
    return Progress(
        expected=run.spec.num_samples,
        ok=answered - failed,
        failed=failed,
        merged=run.feather in paths and has_mark(run, paths),
        rate=_rate({file.modified: name.num_rows for file, name in parts.items()}),
    )


def mark_rows(
    rows: Collection[int], failed: Collection[int], present: RowFlags, ok: RowFlags
) -> None:
    """Set the flags of a part's rows. A row is ok if it is so in some part."""
    numbers = np.asarray(rows, dtype=np.int64)
    present[numbers] = True
    ok[np.setdiff1d(numbers, np.asarray(failed, dtype=np.int64))] = True


def _count(run: RunFolder, parts: dict[StoredFile, PartName]) -> tuple[int, int]:
    """Count the rows that some part holds, and those of them that have an error in each."""
    if not _overlap(parts.values()):
        names = parts.values()
        return sum(name.num_rows for name in names), sum(name.num_failed for name in names)
    present = np.zeros(run.spec.num_samples, dtype=bool)
    ok = present.copy()
    for file in parts:
        info = read_info(run, file.path)
        mark_rows(info.rows, info.failed, present, ok)
    return int(present.sum()), int((present & ~ok).sum())


def _overlap(names: Iterable[PartName]) -> bool:
    """Whether the range of a part begins before that of another has ended."""
    ranges = sorted((name.first, name.last) for name in names)
    return any(left[1] >= right[0] for left, right in pairwise(ranges))


def _rows_of(run: RunFolder, path: str) -> "slice | list[int]":
    """Rows of a part, from its name if that tells them."""
    name = name_of(run, path)
    if name and name.has_every_row:
        return slice(name.first, name.last + 1)
    return list(read_info(run, path).rows)


def _rate(rows_by_time: dict[datetime | None, int]) -> float | None:
    """Rows per second of the parts after the first, which took a time that no listing tells."""
    times = [time for time in rows_by_time if time is not None]
    if len(times) < 2:
        return None
    seconds = (max(times) - min(times)).total_seconds()
    return (sum(rows_by_time.values()) - rows_by_time[min(times)]) / seconds

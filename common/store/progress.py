"""Progress of a run: rows ok, failed and missing, from the names of its files.

One listing tells it, and nothing is opened; merging checks the names against the content. Only
for rows in two parts, as after a shard that was answered twice or a retry, the metadata of parts
is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from common.store.filesystem import StoredFile
from common.store.merged_mark import has_mark
from common.store.part_names import PartName
from common.store.parts import RowFlags, RowNumbers, list_parts, name_of, read_info
from common.store.retries import attempt_of, needed_attempts, read_retries
from common.store.row_states import read_row_states
from common.store.runs import RunFolder


def present_rows(run: RunFolder) -> RowFlags:
    """Flag the rows that some part holds, and that were not withdrawn since."""
    answered_by = np.zeros(run.spec.num_samples, dtype=np.int64)
    for path in list_parts(run):
        rows, attempt = _rows_of(run, path)
        answered_by[rows] = np.maximum(answered_by[rows], attempt)
    return answered_by >= needed_attempts(run.spec.num_samples, read_retries(run))


def done_rows(run: RunFolder) -> list[int]:
    """Numbers of the rows that are answered."""
    rows: list[int] = np.flatnonzero(present_rows(run)).tolist()
    return rows


def missing_rows(run: RunFolder) -> RowNumbers:
    """Numbers of the rows that are left to answer: no part holds them, or they were withdrawn."""
    return np.flatnonzero(~present_rows(run))


def missing_among(run: RunFolder, rows: Sequence[int]) -> list[int]:
    """Those of these rows that are left to answer."""
    numbers = np.asarray(rows, dtype=np.int64)
    missing: list[int] = numbers[~present_rows(run)[numbers]].tolist()
    return missing


@dataclass(frozen=True)
class Progress:
    """The number of samples of a run that are answered, failed and missing.

    again: of the missing ones, those that failed before and are answered again.
    rate: samples per second between the first part and the last, or None before the second.
    seconds_left: at that rate.
    """

    expected: int
    ok: int
    failed: int
    merged: bool
    rate: float | None
    again: int = 0

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
    answered, failed, again = _count(run, parts, _is_retried(run, paths))
    return Progress(
        expected=run.spec.num_samples,
        ok=answered - failed,
        failed=failed,
        merged=run.feather in paths and has_mark(run, paths),
        rate=_rate([(file.modified, name.num_rows) for file, name in parts.items()]),
        again=again,
    )


def _is_retried(run: RunFolder, paths: Iterable[str]) -> bool:
    return any(attempt_of(run, path) for path in paths)


def _count(
    run: RunFolder, parts: dict[StoredFile, PartName], retried: bool
) -> tuple[int, int, int]:
    """Count the rows that are answered, those of them with an error, and those withdrawn."""
    if not retried and not _overlap(parts.values()):
        names = parts.values()
        return sum(name.num_rows for name in names), sum(name.num_failed for name in names), 0
    states = read_row_states(run, [file.path for file in parts])
    return int(states.present.sum()), int(states.failed.sum()), int(states.again.sum())


def _overlap(names: Iterable[PartName]) -> bool:
    """Whether the range of a part begins before that of another has ended."""
    ranges = sorted((name.first, name.last) for name in names)
    return any(left[1] >= right[0] for left, right in pairwise(ranges))


def _rows_of(run: RunFolder, path: str) -> "tuple[slice | list[int], int]":
    """Rows of a part, from its name if that tells them, and its attempt."""
    name = name_of(run, path)
    if name and name.has_every_row:
        return slice(name.first, name.last + 1), name.attempt
    info = read_info(run, path)
    return list(info.rows), info.attempt


def _rate(parts: Sequence[tuple[datetime | None, int]]) -> float | None:
    """Rows per second after the first part, which took a time that no listing tells.

    parts: when each was written, and its number of rows.
    """
    timed = [(time, rows) for time, rows in parts if time is not None]
    times = [time for time, _ in timed]
    if not times or min(times) == max(times):
        return None
    first = min(times)
    rows = sum(rows for time, rows in timed if time > first)
    return rows / (max(times) - first).total_seconds()

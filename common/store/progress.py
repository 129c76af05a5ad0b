"""Progress of a run, counted from its parts: rows ok, failed and missing.

Reads the metadata of the parts only; merging checks it against their columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from common.store.parts import PartInfo, RowNumbers, list_parts, map_parts, read_info, read_infos
from common.store.runs import RunFolder

RowFlags = np.ndarray[Any, np.dtype[np.bool_]]
"""One bool for each sample of a run."""


def present_rows(run: RunFolder) -> RowFlags:
    """Flag the rows that some part holds."""
    present = np.zeros(run.spec.num_samples, dtype=bool)
    for info in read_infos(run):
        present[list(info.rows)] = True
    return present


def done_rows(run: RunFolder) -> list[int]:
    """Numbers of the rows that some part holds."""
    rows: list[int] = np.flatnonzero(present_rows(run)).tolist()
    return rows


def missing_rows(run: RunFolder) -> RowNumbers:
    """Numbers of the rows that no part holds: what is left to answer."""
    return np.flatnonzero(~present_rows(run))


@dataclass(frozen=True)
class Progress:
    """The number of samples of a run that are answered, failed and missing.

    rate: samples per second between the first start and the last finish, or None before
    the first part. seconds_left: at that rate.
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


def read_progress(run: RunFolder, known: dict[str, PartInfo] | None = None) -> Progress:
    """Count the rows of all parts; a row in two parts counts once.

    known: metadata already read, by path; new parts are added. A caller that asks repeatedly
    passes the same dictionary, so that only new parts are opened.
    """
    known = {} if known is None else known
    paths = list_parts(run)
    new = [path for path in paths if path not in known]
    known.update(zip(new, map_parts(partial(read_info, run), new), strict=True))
    failed = np.zeros(run.spec.num_samples, dtype=bool)
    present = failed.copy()
    for path in paths:
        mark_rows(known[path], present, failed)
    answered, failures = int(present.sum()), int(failed.sum())
    return Progress(
        expected=run.spec.num_samples,
        ok=answered - failures,
        failed=failures,
        merged=run.is_merged(),
        rate=_rate(answered, known.values()),
    )


def mark_rows(info: PartInfo, present: RowFlags, failed: RowFlags) -> None:
    """Set the flags of a part's rows. For a row in two parts, the first one decides `failed`."""
    failures = np.asarray(info.failed, dtype=np.int64)
    failed[failures[~present[failures]]] = True
    present[list(info.rows)] = True


def _rate(answered: int, parts: Iterable[PartInfo]) -> float | None:
    spans = [(info.started, info.finished) for info in parts]
    if not spans:
        return None
    seconds = max(finish for _, finish in spans) - min(start for start, _ in spans)
    return answered / seconds if seconds > 0 else None

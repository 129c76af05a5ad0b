"""Progress: what the parts of a run amount to, in rows done, failed and missing.

Takes parts at their word, by their metadata; their columns are for the merge to check.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from common.store.part_files import map_parts, read_info, read_infos
from common.store.parts import PartInfo, list_parts
from common.store.runs import RunFolder

_Flags = np.ndarray[Any, np.dtype[np.bool_]]


def held_rows(run: RunFolder) -> _Flags:
    """For each row whether some part holds it."""
    held = np.zeros(run.spec.num_samples, dtype=bool)
    for info in read_infos(run):
        held[list(info.rows)] = True
    return held


def done_rows(run: RunFolder) -> list[int]:
    """Row numbers that some part holds."""
    rows: list[int] = np.flatnonzero(held_rows(run)).tolist()
    return rows


def missing_rows(run: RunFolder) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row numbers no part holds: what is left to do."""
    return np.flatnonzero(~held_rows(run))


@dataclass(frozen=True)
class Progress:
    """How far a run is, in samples.

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
    """Count what the parts hold; a row held by two parts counts once.

    known: parts already read, by path. Who asks again and again keeps one dictionary, so
    that only new parts are opened.
    """
    known = {} if known is None else known
    paths = list_parts(run)
    new = [path for path in paths if path not in known]
    known.update(zip(new, map_parts(partial(read_info, run), new), strict=True))
    failed = np.zeros(run.spec.num_samples, dtype=bool)
    done = failed.copy()
    for path in paths:
        note_part(known[path], done, failed)
    found, failures = int(done.sum()), int(failed.sum())
    merged = run.store.exists(run.feather)
    rate = _rate(found, known.values())
    return Progress(run.spec.num_samples, found - failures, failures, merged, rate)


def note_part(info: PartInfo, done: _Flags, failed: _Flags) -> None:
    """Mark a part's rows. Of a row in two parts the first one's outcome counts."""
    failures = np.asarray(info.failed, dtype=np.int64)
    failed[failures[~done[failures]]] = True
    done[list(info.rows)] = True


def _rate(found: int, parts: Iterable[PartInfo]) -> float | None:
    spans = [(info.started, info.finished) for info in parts]
    if not spans:
        return None
    seconds = max(finish for _, finish in spans) - min(start for start, _ in spans)
    return found / seconds if seconds > 0 else None

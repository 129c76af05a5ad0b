"""Parts: the result of a shard, one Arrow file each, and what they say about a run.

A part's name tells its range of rows, `000000000-000000063-1f2e3d4c-9a8b7c6d.arrow`: first row,
last row, a digest of the exact rows, so doing a shard twice writes the same file, and the start
of the run's fingerprint, so a worker that was still busy when a run was overwritten leaves a file
that nobody reads. Its schema metadata tells the rest, so listing progress reads no column.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from common.errors import UsageError, first_line
from common.schema import META_PART, PART_SCHEMA, Answer
from common.store.location import Location
from common.store.runs import Run

_Flags = np.ndarray[Any, np.dtype[np.bool_]]


class PartInfo(BaseModel):
    """What a part says of itself.

    rows: sample row numbers. failed: those of them that have an error.
    started, finished: seconds since the epoch. choices, reasons: what the worker chose for
    itself (device, dtype, attention), and why; what changes no answer, such as how much was
    computed at once, is among the reasons alone. counts: tokens of prefill and decode, and the
    seconds of each, for the whole message the part came from (its methods share them).
    """

    model_config = ConfigDict(frozen=True)

    rows: tuple[int, ...]
    failed: tuple[int, ...]
    fingerprint: str
    model_identity: str | None
    started: float
    finished: float
    choices: dict[str, str]
    reasons: dict[str, str] = {}
    counts: dict[str, float]
    worker: str


def part_name(rows: Sequence[int], fingerprint: str) -> str:
    """The file name of a part that holds exactly `rows` (sorted) of a run.

    >>> part_name([0, 1, 5], "9a8b7c6d5e4f")
    '000000000-000000005-49f87b8b-9a8b7c6d.arrow'
    """
    digest = hashlib.sha256(",".join(map(str, rows)).encode()).hexdigest()[:8]
    return f"{rows[0]:09d}-{rows[-1]:09d}-{digest}-{fingerprint[:8]}.arrow"


def part_path(run: Run, rows: Sequence[int]) -> str:
    """Where the part of these rows lies inside the store."""
    return run.file(f"parts/{part_name(rows, run.record.fingerprint)}")


def part_range(path: str) -> tuple[int, int]:
    """First and last row a part can hold, from its name alone."""
    first, last, *_ = path.rpartition("/")[2].split("-")
    return int(first), int(last)


def write_part(run: Run, info: PartInfo, answers: Iterable[Answer]) -> str:
    """Write a part whole, or not at all; returns its path inside the store."""
    path = part_path(run, info.rows)
    schema = PART_SCHEMA.with_metadata({META_PART: info.model_dump_json().encode()})
    ordered = sorted(answers, key=lambda answer: (answer.row, answer.wording))
    batch = pa.RecordBatch.from_pylist([asdict(a) for a in ordered], schema=schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.location.write(path) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        writer.write_batch(batch)
    return path


def list_parts(run: Run) -> list[str]:
    """Paths of the run's parts, ordered by their first row."""
    ending = f"-{run.record.fingerprint[:8]}.arrow"
    return [path for path in run.location.list(run.file("parts")) if path.endswith(ending)]


def read_part(location: Location, path: str) -> pa.Table:
    """A part's rows; raises UsageError for a file that is no whole part.

    Columns that an earlier version did not write are there, and empty.
    """
    with _complaining(location, path):
        table = location.open_arrow(path, use_threads=False).read_all()
        table = table.replace_schema_metadata()
        if table.schema == PART_SCHEMA:
            return table
        return pa.concat_tables([PART_SCHEMA.empty_table(), table], promote_options="default")


@contextmanager
def _complaining(location: Location, path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, UsageError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system could not read it now; that says nothing of the file.
        raise UsageError(
            f"{location.path(path)} is not a whole part of this version "
            f"({first_line(error)}); delete it and enqueue the run again, which answers its rows "
            "anew"
        ) from None


def read_info(run: Run, path: str) -> PartInfo:
    """The part's own metadata; raises UsageError if it belongs to another fingerprint."""
    with _complaining(run.location, path):
        metadata = run.location.open_arrow(path).schema.metadata or {}
        info = PartInfo.model_validate_json(metadata[META_PART])
    if info.fingerprint != run.record.fingerprint:
        raise UsageError(
            f"{run.location.path(path)} was made for the fingerprint {info.fingerprint[:12]}, "
            f"the run has {run.record.fingerprint[:12]}; delete the part"
        )
    return info


def held_rows(run: Run) -> _Flags:
    """For each row whether some part holds it."""
    held = np.zeros(run.spec.num_samples, dtype=bool)
    for path in list_parts(run):
        held[list(read_info(run, path).rows)] = True
    return held


def done_rows(run: Run) -> list[int]:
    """Row numbers that some part holds."""
    rows: list[int] = np.flatnonzero(held_rows(run)).tolist()
    return rows


def missing_rows(run: Run) -> np.ndarray[Any, np.dtype[np.int64]]:
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


def read_progress(run: Run, known: dict[str, PartInfo] | None = None) -> Progress:
    """Count what the parts hold; a row held by two parts counts once.

    known: parts already read, by path. Who asks again and again keeps one dictionary, so
    that only new parts are opened.
    """
    known = {} if known is None else known
    failed = np.zeros(run.spec.num_samples, dtype=bool)
    done = failed.copy()
    for path in list_parts(run):
        if path not in known:
            known[path] = read_info(run, path)
        info = known[path]
        note_part(info, done, failed)
    found, failures = int(done.sum()), int(failed.sum())
    merged = run.location.exists(run.feather)
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

"""Parts: the result of a shard, one Arrow file each, and what they say about a run.

A part's name tells its range of rows, `000000000-000000063-1f2e3d4c-9a8b7c6d.arrow`: first row,
last row, a digest of the exact rows, so doing a shard twice writes the same file, and the start
of the run's fingerprint, so a worker that was still busy when a run was overwritten leaves a file
that nobody reads. Its schema metadata tells the rest, so listing progress reads no column.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from common.records import ResultRow
from common.schema import META_PART, PART_SCHEMA
from common.store.runs import RunFolder

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


def part_path(run: RunFolder, rows: Sequence[int]) -> str:
    """Where the part of these rows lies inside the store."""
    return run.file(f"parts/{part_name(rows, run.record.fingerprint)}")


def part_range(path: str) -> tuple[int, int]:
    """First and last row a part can hold, from its name alone."""
    first, last, *_ = path.rpartition("/")[2].split("-")
    return int(first), int(last)


def write_part(run: RunFolder, info: PartInfo, answers: Iterable[ResultRow]) -> str:
    """Write a part whole, or not at all; returns its path inside the store."""
    path = part_path(run, info.rows)
    schema = PART_SCHEMA.with_metadata({META_PART: info.model_dump_json().encode()})
    ordered = sorted(answers, key=lambda answer: (answer.row, answer.paraphrase_index))
    batch = pa.RecordBatch.from_pylist([asdict(a) for a in ordered], schema=schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.store.write(path) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        writer.write_batch(batch)
    return path


def list_parts(run: RunFolder) -> list[str]:
    """Paths of the run's parts, ordered by their first row."""
    ending = f"-{run.record.fingerprint[:8]}.arrow"
    return [path for path in run.store.list(run.file("parts")) if path.endswith(ending)]

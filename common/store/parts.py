"""Parts: the results of a shard in one Arrow file; their metadata, writing, reading.

Executing a shard twice leaves the first file, unless other rows fail the second time; then there
are two parts with these rows, and the better one counts for each row (common.store.merge).
A worker that is still busy when its run is overwritten is refused, or writes what nobody reads.
PartInfo is in the schema metadata, so it is read without reading a column.

Several parts are read at a time: a distant store answers slowly, and decompression releases
Python's lock.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from common.errors import UsageError, first_line, is_of_the_system
from common.records import ResultRow
from common.schema import META_PART, PART_SCHEMA
from common.store.filesystem import StoreFilesystem
from common.store.part_names import PartName
from common.store.runs import RunFolder

READERS = 4
READ_AHEAD = 16

RowNumbers = np.ndarray[Any, np.dtype[np.int64]]
RowFlags = np.ndarray[Any, np.dtype[np.bool_]]
"""One bool for each sample of a run."""

_Read = TypeVar("_Read")


class PartInfo(BaseModel):
    """The metadata of a part.

    rows: sample row numbers. failed: the rows that have an error. attempt: 1, and one more for
    each retry of the run that came before.
    started, finished: seconds since the epoch. choices, reasons: the settings that the worker
    resolved (device, dtype, attention), and why; settings that change no answer, such as how much
    was computed at once, are among the reasons alone. counts: tokens of prefill and decode, and
    the seconds of each, of the calls that succeeded for the whole message that the part came
    from (its methods share them).
    """

    model_config = ConfigDict(frozen=True)

    rows: tuple[int, ...]
    failed: tuple[int, ...]
    attempt: int = 1
    fingerprint: str
    model_identity: str | None
    started: float
    finished: float
    choices: dict[str, str]
    reasons: dict[str, str] = {}
    counts: dict[str, float]
    worker: str


@dataclass(frozen=True)
class PartContent:
    """A part whose rows were checked. rows: sorted. content: the bytes of the file."""

    info: PartInfo
    rows: RowNumbers
    content: bytes


def part_path(run: RunFolder, info: PartInfo) -> str:
    """Return the path, inside the store, of the part with this metadata."""
    name = PartName.of(info.rows, len(info.failed), info.attempt, run.record.generation)
    return run.file(f"parts/{name}")


def list_parts(run: RunFolder, attempt: int | None = None) -> list[str]:
    """Paths of the run's parts, ordered by their first row; those up to `attempt` if given."""
    parts = ((path, name_of(run, path)) for path in run.store.list(run.file("parts")))
    return [path for path, name in parts if name and (not attempt or name.attempt <= attempt)]


def name_of(run: RunFolder, path: str) -> PartName | None:
    """Name of a part of this run and generation; None for any other file."""
    name = PartName.parse(path)
    return name if name and name.generation == run.record.generation else None


def write_part(run: RunFolder, info: PartInfo, answers: Iterable[ResultRow]) -> str:
    """Commit a part, whole or not at all, and return its path inside the store.

    A part of this name stays, as a merged file may have been made of it: another delivery of the
    shard wrote it. Raises OverwrittenRun, and commits nothing, if the run was overwritten since it
    was opened, and FileNotFoundError if there is no run.
    """
    path = part_path(run, info)
    if run.store.exists(path):
        run.check_stands()
        return path
    schema = PART_SCHEMA.with_metadata({META_PART: info.model_dump_json().encode()})
    ordered = sorted(answers, key=lambda answer: (answer.row, answer.paraphrase_index))
    batch = pa.RecordBatch.from_pylist([asdict(a) for a in ordered], schema=schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.write(path) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        writer.write_batch(batch)
    return path


def map_parts(read: Callable[[str], _Read], paths: Sequence[str]) -> Iterator[_Read]:
    """Yield `read(path)` for each path, in order; at most READ_AHEAD results wait."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(paths), READ_AHEAD):
            yield from pool.map(read, paths[start : start + READ_AHEAD])


def read_infos(run: RunFolder) -> Iterator[PartInfo]:
    """Yield the metadata of each part of a run, in order."""
    return map_parts(partial(read_info, run), list_parts(run))


def read_info(run: RunFolder, path: str) -> PartInfo:
    """Read the metadata of a part, without a column.

    Raises UsageError if the file is not a whole part, or belongs to another run.
    """
    with _part_errors(run.store, path):
        info = _info(run.store.open_arrow(path))
    _check_fingerprint(run, path, info)
    return info


def inspect_part(run: RunFolder, path: str) -> PartContent:
    """Read a part and its column `row`.

    Raises UsageError as `read_info` does, and if the rows are not those of the metadata.
    """
    with _part_errors(run.store, path):
        content = run.store.read_bytes(path)
        reader = _open(content, [PART_SCHEMA.get_field_index("row")])
        info, rows = _info(reader), np.unique(reader.read_all()["row"].to_numpy())
    _check_fingerprint(run, path, info)
    if rows.tolist() != list(info.rows):
        raise UsageError(f"{run.store.path(path)} does not hold the rows it names")
    return PartContent(info, rows, content)


def read_part(store: StoreFilesystem, path: str) -> pa.Table:
    """Read the rows of a part. Raises UsageError if the file is not a whole part."""
    with _part_errors(store, path):
        table = _open(store.read_bytes(path)).read_all().replace_schema_metadata()
        if table.schema != PART_SCHEMA:
            raise UsageError("its columns are others")
        return table


def _open(content: bytes, columns: list[int] | None = None) -> pa.ipc.RecordBatchFileReader:
    # Arrow's own threads take longer over a small file's columns than they save.
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=columns)
    return pa.ipc.open_file(pa.BufferReader(content), options=options)


def _info(reader: pa.ipc.RecordBatchFileReader) -> PartInfo:
    return PartInfo.model_validate_json((reader.schema.metadata or {})[META_PART])


def _check_fingerprint(run: RunFolder, path: str, info: PartInfo) -> None:
    if info.fingerprint != run.record.fingerprint:
        raise UsageError(
            f"{run.store.path(path)} was made for the fingerprint {info.fingerprint[:12]}, "
            f"the run has {run.record.fingerprint[:12]}; delete the part"
        )


@contextmanager
def _part_errors(store: StoreFilesystem, path: str) -> Iterator[None]:
    """Turn errors about the file's content into a UsageError that says what to do."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, UsageError) as error:
        if is_of_the_system(error):
            raise
        raise UsageError(
            f"{store.path(path)} is not a whole part of this version "
            f"({first_line(error)}); delete it and enqueue the run again, which answers its rows "
            "anew"
        ) from None

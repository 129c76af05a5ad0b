"""Reading parts: their metadata alone, or the whole file once. A bad one is named in a sentence.

Several are read at a time: a distant store answers slowly, and decompression leaves Python's lock
alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from common.errors import UsageError, first_line
from common.schema import META_PART, PART_SCHEMA
from common.store.filesystem import StoreFilesystem
from common.store.parts import PartInfo, list_parts
from common.store.runs import RunFolder

READERS = 4
READ_AHEAD = 16

_Read = TypeVar("_Read")
_Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class PartContent:
    """A part that holds what it names. rows: sorted. content: the bytes of its file."""

    info: PartInfo
    rows: _Integers
    content: bytes


def map_parts(read: Callable[[str], _Read], paths: Sequence[str]) -> Iterator[_Read]:
    """`read` of each path, in order, with no more than READ_AHEAD results waiting."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(paths), READ_AHEAD):
            yield from pool.map(read, paths[start : start + READ_AHEAD])


def read_infos(run: RunFolder) -> Iterator[PartInfo]:
    """What each part of a run says of itself, in order."""
    return map_parts(partial(read_info, run), list_parts(run))


def read_info(run: RunFolder, path: str) -> PartInfo:
    """The part's own metadata, without a column; raises UsageError if another run made it."""
    with _complaining(run.store, path):
        info = _info(run.store.open_arrow(path))
    _check_fingerprint(run, path, info)
    return info


def inspect_part(run: RunFolder, path: str) -> PartContent:
    """Read a part and its column `row`; raises UsageError if it holds others than it names."""
    with _complaining(run.store, path):
        content = run.store.read_bytes(path)
        reader = _open(content, [PART_SCHEMA.get_field_index("row")])
        info, rows = _info(reader), np.unique(reader.read_all()["row"].to_numpy())
    _check_fingerprint(run, path, info)
    if rows.tolist() != list(info.rows):
        raise UsageError(f"{run.store.path(path)} does not hold the rows it names")
    return PartContent(info, rows, content)


def read_part(store: StoreFilesystem, path: str) -> pa.Table:
    """A part's rows; raises UsageError for a file that is no whole part."""
    with _complaining(store, path):
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
def _complaining(store: StoreFilesystem, path: str) -> Iterator[None]:
    """Say of a file that is no part what to do about it."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, UsageError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The system could not read it now; that says nothing of the file.
        raise UsageError(
            f"{store.path(path)} is not a whole part of this version "
            f"({first_line(error)}); delete it and enqueue the run again, which answers its rows "
            "anew"
        ) from None

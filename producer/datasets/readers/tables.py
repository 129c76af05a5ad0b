"""Rows of Arrow tables as a stream: Parquet, Arrow files and streams, both kinds of Feather.

A column becomes Python values when a row is asked for its cell, a thousand rows at a time. So a
column that no data set reads costs no time, and its type refuses no row.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from common.errors import UsageError, first_line
from producer.datasets.readers import feather_v1
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.compressed import plain_file
from producer.datasets.readers.rows import NamedTwice, Row

_AT_A_TIME = 1024
_FILE = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Rows of a Parquet file."""
    return _rows(path, columns, "Parquet", _parquet_batches)


def arrow_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Rows of an Arrow file, an Arrow stream or a Feather file; the first bytes decide which."""
    return _rows(path, columns, "Feather (Arrow IPC)", _arrow_batches)


def _rows(
    path: Path, columns: Columns, kind: str, batches: Callable[[Path], Iterable[Any]]
) -> Iterator[Row]:
    origin, number = str(path), 0
    with _table_errors(path, kind), plain_file(path) as file:
        for batch in batches(file):
            for chunk in _chunks(batch, path, kind):
                for index in range(chunk.num_rows):
                    number += 1
                    yield Row(origin, number, _Cells(chunk, index), columns)


def _parquet_batches(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with path.open("rb") as file, parquet.ParquetFile(file) as opened:
        yield from opened.iter_batches(batch_size=_AT_A_TIME)


def _arrow_batches(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    # The name as bytes: it may not be UTF-8, and pyarrow would encode it as UTF-8.
    with pa.memory_map(cast(str, os.fsencode(path))) as mapped:
        start = mapped.read(len(_FILE))
        mapped.seek(0)
        if start.startswith(feather_v1.SIGN):
            with feather_v1.as_arrow_file(path) as rewritten:
                yield from _arrow_batches(rewritten)
        elif start == _FILE:
            with pa.ipc.open_file(mapped) as reader:
                yield from (reader.get_batch(n) for n in range(reader.num_record_batches))
        else:
            with pa.ipc.open_stream(mapped) as stream:
                yield from stream
            _refuse_cut_off(mapped)


def _refuse_cut_off(mapped: Any) -> None:
    """Raise OSError if the end mark is missing; Arrow reads a stream cut off as a shorter one."""
    mapped.seek(-len(_END_OF_STREAM), io.SEEK_END)
    if mapped.read() != _END_OF_STREAM:
        raise OSError("the mark at the end of a stream is missing")


@contextmanager
def _table_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn an error of reading a table into a UsageError with one line."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"data file {path} is no {kind} file, or a damaged one: {first_line(error)}"
        ) from None


def _chunks(batch: Any, path: Path, kind: str) -> Iterator["_Chunk"]:
    checked: dict[str, Any] = {}
    for first in range(0, batch.num_rows, _AT_A_TIME):
        yield _Chunk(batch, first, checked, path, kind)


class _Chunk:
    """Up to a thousand rows of a record batch.

    checked: columns of the whole batch that were asked for. Each is validated once, because Arrow
    would follow damaged offsets past the end of the file.
    """

    def __init__(
        self, batch: Any, first: int, checked: dict[str, Any], path: Path, kind: str
    ) -> None:
        self.names = dict.fromkeys(batch.schema.names)
        self.num_rows = min(_AT_A_TIME, batch.num_rows - first)
        self._batch = batch
        self._first = first
        self._checked = checked
        self._path = path
        self._kind = kind
        self._values: dict[str, list[Any]] = {}

    def values(self, name: str) -> list[Any]:
        """A column of the batch as Python values; raises UsageError for a damaged one."""
        if name not in self._values:
            with _table_errors(self._path, f"{self._kind} (column {name!r})"):
                self._values[name] = self._read(name)
        return self._values[name]

    def _read(self, name: str) -> list[Any]:
        if self._batch.schema.names.count(name) > 1:
            return [NamedTwice()] * self.num_rows
        if name not in self._checked:
            column = self._batch.column(name)
            column.validate(full=True)
            self._checked[name] = _with_shortest_floats(column)
        values: list[Any] = self._checked[name].slice(self._first, _AT_A_TIME).to_pylist()
        return values


class _Cells(Mapping[str, Any]):
    """The cells of one row of a chunk."""

    __slots__ = ("_chunk", "_index")

    def __init__(self, chunk: _Chunk, index: int) -> None:
        self._chunk = chunk
        self._index = index

    def __getitem__(self, name: str) -> Any:
        if name not in self._chunk.names:
            raise KeyError(name)
        return self._chunk.values(name)[self._index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chunk.names)

    def __len__(self) -> int:
        return len(self._chunk.names)

    def __contains__(self, name: object) -> bool:
        return name in self._chunk.names

    def get(self, name: str, default: Any = None) -> Any:
        return self._chunk.values(name)[self._index] if name in self._chunk.names else default

    def keys(self) -> KeysView[str]:
        return self._chunk.names.keys()


def _with_shortest_floats(column: Any) -> Any:
    """Half and single floats, alone or in lists, as the double of their shortest decimal form.

    So 3.14 stays 3.14 and does not become 3.140000104904175. Other columns are unchanged.
    """
    import pyarrow as pa

    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    kind = column.type.value_type if is_list else column.type
    if not (pa.types.is_float32(kind) or pa.types.is_float16(kind)):
        return column
    for target in (pa.float32(), pa.string(), pa.float64()):
        column = column.cast(pa.list_(target) if is_list else target)
    return column

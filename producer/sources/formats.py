"""Rows of a file as a stream: JSONL, Parquet or Feather. Does not know what columns mean."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import UsageError, first_line
from producer.sources.rows import Row

_AT_A_TIME = 1024

_Numbered = Iterator[tuple[int, dict[str, Any]]]


def read_rows(path: Path) -> Iterator[Row]:
    """Stream a file's rows; raises UsageError where it cannot be read, or holds none."""
    if not path.is_file():
        raise UsageError(f"data file {path} does not exist")
    readers = {".jsonl": _json_lines, ".parquet": _parquet, ".feather": _feather}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"data file {path}: the name must end in {', '.join(readers)}")
    origin, number = str(path), 0
    for number, cells in reader(path):
        yield Row(origin, number, cells)
    if not number:
        raise UsageError(f"data file {path} has no rows")


def _json_lines(path: Path) -> _Numbered:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise UsageError(f"{path}, row {number}: not UTF-8 ({error.reason})") from None
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}, row {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UsageError(f"{path}, row {number}: must be a JSON object, is {line[:40]!r}")
            yield number, row


def _parquet(path: Path) -> _Numbered:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=_AT_A_TIME)
            yield from enumerate((row for b in batches for row in b.to_pylist()), start=1)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"data file {path} is no Parquet file, or a damaged one: {first_line(error)}"
        ) from None


def _feather(path: Path) -> _Numbered:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
            yield from enumerate((row for batch in batches for row in _checked(batch)), start=1)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"data file {path} is no Feather (Arrow IPC) file, or a damaged one: "
            f"{first_line(error)}"
        ) from None


def _checked(batch: Any) -> Iterator[dict[str, Any]]:
    """Rows of a record batch, a thousand in Python at a time.

    Offsets are checked first: damaged ones would be followed past the end of the file.
    """
    batch.validate(full=True)
    for first in range(0, batch.num_rows, _AT_A_TIME):
        yield from batch.slice(first, _AT_A_TIME).to_pylist()

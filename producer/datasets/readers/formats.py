"""Rows of a file as a stream, in the format of its name; the columns may have any meaning."""

from collections.abc import Callable, Iterator
from pathlib import Path

from common.errors import UsageError
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.compressed import ENDINGS, plain_ending
from producer.datasets.readers.rows import Row
from producer.datasets.readers.tables import arrow_rows, parquet_rows
from producer.datasets.readers.text_files import comma_separated, json_lines, tab_separated

_READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".parquet": parquet_rows,
    ".feather": arrow_rows,
    ".arrow": arrow_rows,
    ".csv": comma_separated,
    ".tsv": tab_separated,
}


def read_rows(path: Path, columns: Columns | None = None) -> Iterator[Row]:
    """Yield the rows of a file; raises UsageError if it cannot be read, or has none.

    columns: collects the names of the file's columns.
    """
    if not path.is_file():
        raise UsageError(f"data file {path} does not exist")
    reader = _READERS.get(plain_ending(path))
    if reader is None:
        raise UsageError(
            f"data file {path}: the name must end in {', '.join(_READERS)}, or in one of these "
            f"and {' or '.join(ENDINGS)}{_advice(path)}"
        )
    columns, row = columns or Columns(), None
    for row in reader(path, columns):
        columns.present.update(row.cells.keys())
        yield row
    if row is None:
        raise UsageError(f"data file {path} has no rows")


def _advice(path: Path) -> str:
    if plain_ending(path) != ".json":
        return ""
    return "; if every line is one JSON object, rename it to .jsonl"

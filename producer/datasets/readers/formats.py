"""Rows of a file as a stream, in the format its name says. Does not know what columns mean."""

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
    """Stream a file's rows; raises UsageError where it cannot be read, or holds none.

    columns: where the names of columns are gathered meanwhile.
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
        columns.there.update(row.cells.keys())
        yield row
    if row is None:
        raise UsageError(f"data file {path} has no rows")


def _advice(path: Path) -> str:
    if plain_ending(path) != ".json":
        return ""
    return "; if every line is one JSON object, rename it to .jsonl"

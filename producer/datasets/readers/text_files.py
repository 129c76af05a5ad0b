"""Rows of text files as a stream: JSON lines, comma- and tab-separated values."""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from common.errors import UsageError
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.compressed import opened
from producer.datasets.readers.rows import NamedTwice, Row

LARGEST_CELL = 1 << 24
"""Most characters in a cell of separated values; a longer one means an unclosed quotation mark."""


def _integer(digits: str) -> int | Decimal:
    """A whole number of any length; Python refuses to make an int of more than 4,300 digits."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_JSON = json.JSONDecoder(parse_int=_integer)


def json_lines(path: Path, columns: Columns) -> Iterator[Row]:
    """Rows of a file with one JSON object in each line; blank lines are skipped."""
    origin = str(path)
    with opened(path) as file:
        _refuse_utf16(path, file)
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if line.strip():
                yield _json_row(origin, number, line, columns)


def _json_row(origin: str, number: int, line: bytes, columns: Columns) -> Row:
    text, reason = _decoded(line)
    try:
        cells: Any = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{origin}, row {number}: {reason or f'not JSON ({error})'}") from None
    if not isinstance(cells, dict):
        raise UsageError(f"{origin}, row {number}: must be a JSON object, is {line[:40]!r}")
    return Row(origin, number, cells, columns, is_utf8=not reason)


def _decoded(line: bytes) -> tuple[str, str | None]:
    """The text of a line, and an error if it is not UTF-8, which may concern no column read."""
    try:
        return line.decode("utf-8"), None
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 ({error.reason}); save the file as UTF-8"
        return line.decode("utf-8", errors="surrogateescape"), reason


def comma_separated(path: Path, columns: Columns) -> Iterator[Row]:
    """Rows of comma-separated values (RFC 4180) with a header; an empty cell is missing."""
    return _separated(path, columns, ",")


def tab_separated(path: Path, columns: Columns) -> Iterator[Row]:
    """Rows of tab-separated values with a header, quoted as in RFC 4180."""
    return _separated(path, columns, "\t")


def _separated(path: Path, columns: Columns, delimiter: str) -> Iterator[Row]:
    origin, records = str(path), _records(path, delimiter)
    names = [name.strip() for _, header in islice(records, 1) for name in header]
    twice = {name: NamedTwice() for name, times in Counter(names).items() if times > 1}
    for number, texts in records:
        if len(texts) != len(names):
            raise UsageError(
                f"{origin}, row {number}: has {len(texts)} cells, the header {len(names)}; put "
                f"cells that hold {delimiter!r} between quotation marks"
            )
        cells = {name: text or None for name, text in zip(names, texts, strict=True)}
        yield Row(origin, number, cells | twice, columns, is_utf8=False)


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, each after the number of its first line.

    Uses the standard library rather than pyarrow.csv, which counts no lines, infers types from the
    first rows, and decodes columns that nobody reads.
    """
    csv.field_size_limit(LARGEST_CELL)
    with (
        opened(path) as file,
        io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        _refuse_utf16(path, file)
        reader, line = csv.reader(text, delimiter=delimiter, strict=True), 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise UsageError(
                f"{path}, row {line}: not separated values ({error}); is a quotation mark not "
                "closed, or not doubled inside a cell?"
            ) from None


def _refuse_utf16(path: Path, file: io.BufferedReader) -> None:
    if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UsageError(f"{path}, row 1: not UTF-8 but UTF-16; save the file as UTF-8")

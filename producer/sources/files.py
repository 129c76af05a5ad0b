"""Question files: JSONL, Parquet or Feather, read as a stream.

Columns: `question` (text), `answers` (list of texts, or one text); optional `uuid`; optional
`paraphrases` (list of texts) or `paraphrase0`, `paraphrase1`, ... Others are ignored. Every
complaint names the file, the row (from 1) and the column.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from common.errors import UsageError

_Row = tuple[int, dict[str, Any]]
_NUMBERED = re.compile(r"paraphrase(\d+)")


@dataclass(frozen=True)
class Question:
    """One row of a question file."""

    question: str
    answers: tuple[str, ...]
    uuid: str | None
    paraphrases: tuple[str, ...]


def read_questions(path: Path) -> Iterator[Question]:
    """Stream a file's rows; raises UsageError at the first one that is not as it should be."""
    if not path.is_file():
        raise UsageError(f"data file {path} does not exist")
    readers = {".jsonl": _json_lines, ".parquet": _parquet, ".feather": _feather}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"data file {path}: the name must end in {', '.join(readers)}")
    number = 0
    for number, row in reader(path):
        yield _question(row, f"{path}, row {number}")
    if not number:
        raise UsageError(f"data file {path} has no rows")


def _json_lines(path: Path) -> Iterator[_Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise UsageError(f"{path}, row {number}: not UTF-8 ({error.reason})") from None
            except json.JSONDecodeError as error:
                raise UsageError(f"{path}, row {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UsageError(f"{path}, row {number}: must be a JSON object, is {line[:40]!r}")
            yield number, row


def _parquet(path: Path) -> Iterator[_Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=1024)
            yield from enumerate((row for b in batches for row in b.to_pylist()), start=1)
    except pa.ArrowInvalid as error:
        raise UsageError(f"data file {path} is no Parquet file: {error}") from None


def _feather(path: Path) -> Iterator[_Row]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
            slices = (s for b in batches for s in pa.table(b).to_batches(max_chunksize=1024))
            yield from enumerate((row for s in slices for row in s.to_pylist()), start=1)
    except pa.ArrowInvalid as error:
        raise UsageError(f"data file {path} is no Feather (Arrow IPC) file: {error}") from None


def _question(row: dict[str, Any], where: str) -> Question:
    question = _text(row, "question", where)
    answers = row.get("answers")
    answers = [answers] if isinstance(answers, str) else answers
    uuid = _text(row, "uuid", where) if row.get("uuid") is not None else None
    return Question(question, _texts(answers, "answers", where), uuid, _paraphrases(row, where))


def _paraphrases(row: dict[str, Any], where: str) -> tuple[str, ...]:
    if row.get("paraphrases") is not None:
        return _texts(row["paraphrases"], "paraphrases", where, may_be_empty=True)
    numbered = sorted((int(m[1]), k) for k in row if (m := _NUMBERED.fullmatch(k)))
    return tuple(_text(row, k, where) for _, k in numbered if row[k] is not None)


def _text(row: dict[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not _is_text(value) or not value.strip():
        got = "is missing" if value is None else f"is {value!r}"
        raise UsageError(f"{where}: column {column!r} must be a text that is not empty, {got}")
    return value


def _is_text(value: Any) -> TypeGuard[str]:
    """A str that UTF-8 can hold; JSON can spell halves of characters."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: Any, column: str, where: str, may_be_empty: bool = False) -> tuple[str, ...]:
    good = isinstance(value, list) and all(_is_text(v) for v in value)
    if not good or not (value or may_be_empty):
        got = "is missing" if value is None else f"is {str(value)[:60]!r}"
        raise UsageError(f"{where}: column {column!r} must be a list of texts, {got}")
    return tuple(value)

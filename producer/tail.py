"""The rows of a run as its parts come, each once, until it is merged, stopped or cancelled."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from common.errors import StopRun, UsageError
from common.store import RunFolder
from common.store.cancellation import refuse_cancelled
from common.store.filesystem import StoredFile
from common.store.manifest import read_manifest
from common.store.parts import name_of, read_part
from producer.plain_text import plain_text

logger = logging.getLogger(__name__)

StoredRow = dict[str, Any]
"""One row of a part or of a merged file, by column."""

POLL_SECONDS = 0.5


def follow_rows(
    run: RunFolder,
    lines: int,
    stop_reason: Callable[[], str | None],
    wait: Callable[[], None] = lambda: time.sleep(POLL_SECONDS),
) -> Iterator[StoredRow]:
    """Yield the newest rows of a run, then those of each new part, until the run is merged.

    A row is yielded once, though it be in two parts. Of a merged run the last rows are yielded.

    lines: how many rows of before. stop_reason: why the run is stopped, or None.
    Raises StopRun if the run is stopped, CancelledRun if it is cancelled, OverwrittenRun if
    another takes its place, and FileNotFoundError if it is deleted.
    """
    if _is_over(run):
        yield from _last_rows(run, lines)
        return
    parts = PartRows(run)
    yield from parts.newest(lines)
    while True:
        run.check_stands()
        over = _is_over(run)
        reason = None if over else stop_reason()
        yield from parts.new()
        if over:
            return
        refuse_cancelled(run)
        if reason:
            raise StopRun(f"run {run.key} is stopped: {reason}")
        wait()


class PartRows:
    """The rows of a run's parts, each given out once; the parts are read once."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._known: set[str] = set()
        self._given = np.zeros(run.spec.num_samples, dtype=bool)

    def newest(self, lines: int) -> list[StoredRow]:
        """Return the newest rows of the parts that there are; the rest of them stays unread."""
        rows: list[StoredRow] = []
        for path in reversed(self._unknown()):
            if len(rows) >= lines:
                break
            rows = self._read(path) + rows
        return rows[len(rows) - min(lines, len(rows)) :]

    def new(self) -> Iterator[StoredRow]:
        """Yield the rows of the parts that came since the last call."""
        for path in self._unknown():
            yield from self._read(path)

    def _unknown(self) -> list[str]:
        """Paths of the parts that were not seen before, in the order in which they came."""
        listed = self._run.store.list_files(self._run.file("parts"))
        new = [f for f in listed if f.path not in self._known and name_of(self._run, f.path)]
        self._known |= {file.path for file in new}
        return [file.path for file in sorted(new, key=_time)]

    def _read(self, path: str) -> list[StoredRow]:
        try:
            rows: list[StoredRow] = read_part(self._run.store, path).to_pylist()
        except (UsageError, FileNotFoundError) as error:
            logger.warning("%s", error)
            return []
        new = [row for row in rows if not self._given[row["row"]]]
        self._given[[row["row"] for row in new]] = True
        return new


def _time(file: StoredFile) -> float:
    return file.modified.timestamp() if file.modified else 0.0


def describe_row(row: StoredRow) -> str:
    """Return a row as one line: its uuid, its paraphrase if it answers one alone, its answer.

    >>> describe_row({"uuid": "q1", "prediction": "Paris", "error": None})
    'q1  Paris'
    """
    named = [row["uuid"], row.get("paraphrase"), _outcome(row)]
    return "  ".join(plain_text(text) for text in named if text is not None)


def _outcome(row: StoredRow) -> str:
    if row.get("error") is not None:
        return f"error: {row['error']}"
    if row.get("prediction") is not None:
        return str(row["prediction"])
    return " | ".join(row.get("paraphrases") or ())


def _is_over(run: RunFolder) -> bool:
    return run.is_merged() and not read_manifest(run).partial


def _last_rows(run: RunFolder, lines: int) -> Sequence[StoredRow]:
    reader = run.open_result()
    rows: list[StoredRow] = []
    for number in reversed(range(reader.num_record_batches)):
        if len(rows) >= lines:
            break
        batch = reader.get_batch(number)
        rows = batch.slice(max(0, len(batch) - (lines - len(rows)))).to_pylist() + rows
    return rows

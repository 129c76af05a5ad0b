"""Retries of a run: which rows are to be answered again, and from which attempt on.

A retry withdraws rows by one file, `<run>/retries/a2-<generation>.json`, which lists them. From
then on such a row counts as missing until a part of attempt 2 or later holds it. Nothing else has
to know: what is missing is sent, answered and merged as in any run. Until then the old rows stay
in their parts and in the merged file.

Every retry has a number of its own, also if two begin at once: the file is created exclusively.
A shard is of the attempt that its run had when the shard was opened. So a worker that is late with
rows that were withdrawn meanwhile does not answer them.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from common.errors import UsageError, first_line
from common.messages import ranges
from common.store.first_writer import write_first
from common.store.parts import RowNumbers
from common.store.runs import RunFolder

FIRST_ATTEMPT = 1

_NAME = re.compile(r"a(\d+)-([0-9a-f]{12})\.json")


@dataclass(frozen=True)
class Retry:
    """Rows that count as missing until a part of this attempt, or a later one, holds them."""

    attempt: int
    rows: tuple[int, ...]


def latest_attempt(run: RunFolder) -> int:
    """Return the attempt of shards that are opened now: 1, and one more for each retry."""
    return max(_attempts(run), default=FIRST_ATTEMPT)


def read_retries(run: RunFolder, attempt: int | None = None) -> list[Retry]:
    """Read the retries of a run, in order; those up to `attempt` if it is given.

    Raises UsageError for a damaged file.
    """
    wanted = [a for a in _attempts(run) if attempt is None or a <= attempt]
    return [_read(run, number) for number in wanted]


def claim_retry(run: RunFolder, retry: Retry) -> bool:
    """Write a retry, unless there is one of its number; return whether it stands."""
    content = json.dumps({"attempt": retry.attempt, "rows": ranges(retry.rows)}).encode()
    return write_first(run.store, _path(run, retry.attempt), content) == content


def needed_attempts(num_samples: int, retries: Iterable[Retry]) -> RowNumbers:
    """Return for each row the lowest attempt of a part that answers it."""
    needed = np.full(num_samples, FIRST_ATTEMPT, dtype=np.int64)
    for retry in retries:
        needed[list(retry.rows)] = retry.attempt
    return needed


def attempt_of(run: RunFolder, path: str) -> int | None:
    """Return the number of the retry that a path names; None for any other file."""
    match = _NAME.fullmatch(path.removeprefix(run.file("retries/")))
    return int(match[1]) if match and match[2] == run.record.generation else None


def _attempts(run: RunFolder) -> list[int]:
    """Numbers of the retries of this very run, in order."""
    attempts = (attempt_of(run, path) for path in run.store.list(run.file("retries")))
    return sorted(attempt for attempt in attempts if attempt is not None)


def _path(run: RunFolder, attempt: int) -> str:
    return run.file(f"retries/a{attempt}-{run.record.generation}.json")


def _read(run: RunFolder, attempt: int) -> Retry:
    path = _path(run, attempt)
    try:
        rows = json.loads(run.store.read_bytes(path))["rows"]
        numbers = tuple(row for first, stop in rows for row in range(first, stop))
        if not all(0 <= row < run.spec.num_samples for row in numbers):
            raise ValueError(f"the run has {run.spec.num_samples} rows")
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{run.store.path(path)} does not list the rows of a retry ({first_line(error)}); "
            f"delete it, and `producer retry {run.key}` again"
        ) from None
    return Retry(attempt, numbers)

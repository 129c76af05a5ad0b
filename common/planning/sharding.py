"""Sharding: the rows that no part holds yet -> messages, and which runs share one."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.messages import MAX_RUNS, ShardMessage
from common.run import share_prefill
from common.store.parts import RowNumbers
from common.store.progress import missing_rows
from common.store.retries import FIRST_ATTEMPT
from common.store.runs import RunFolder

DEFAULT_SHARD_SIZE = 64

DEPENDS_ON_ATTEMPT = "depends_on_attempt"
"""In the provenance of a dependent run: the attempt of the result that it was made from."""


def messages_for(
    runs: Sequence[RunFolder], shard_size: int | None = None
) -> Iterator[ShardMessage]:
    """Yield messages for every row that some run misses.

    A message names several runs if they can share a prefill.
    shard_size: maximum number of rows in a message; None takes the size from the runs' provenance.
    """
    for group in sharing_runs(runs):
        yield from missing_messages(group, shard_size or recorded_shard_size(group[0]))


def recorded_shard_size(run: RunFolder) -> int:
    """Return the number of rows to a message that the run was enqueued with."""
    return int(run.record.provenance.get("shard_size", DEFAULT_SHARD_SIZE))


def sharing_runs(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Group the runs that can share a prefill, at most MAX_RUNS to a group.

    Runs made from a result before and after it was retried have other samples.
    """
    groups: list[list[RunFolder]] = []
    for run in runs:
        for group in groups:
            specs = [other.spec for other in (*group, run)]
            alike = depends_on_attempt(group[0]) == depends_on_attempt(run)
            if len(specs) <= MAX_RUNS and alike and share_prefill(specs):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def depends_on_attempt(run: RunFolder) -> int:
    """Return the attempt of the result that a run was made from; the first for any other run."""
    return int(run.record.provenance.get(DEPENDS_ON_ATTEMPT, FIRST_ATTEMPT))


def missing_messages(runs: Sequence[RunFolder], shard_size: int) -> Iterator[ShardMessage]:
    """Yield messages for every row that some run misses; all runs of a message miss its rows.

    >>> list(missing_messages([], 64))
    []
    """
    return messages_of_rows(runs, [missing_rows(run) for run in runs], shard_size)


def messages_of_rows(
    runs: Sequence[RunFolder], rows_of_runs: Sequence[RowNumbers], shard_size: int
) -> Iterator[ShardMessage]:
    """Yield messages for the given rows of each run; each row of a message is one of all its runs.

    rows_of_runs: for each run the numbers of its rows.
    """
    misses = np.zeros(runs[0].spec.num_samples if runs else 0, dtype=np.uint32)
    for bit, rows in enumerate(rows_of_runs):
        misses[rows] |= 1 << bit
    for pattern in sorted(set(np.unique(misses).tolist()) - {0}, reverse=True):
        names = [str(run.key) for bit, run in enumerate(runs) if pattern >> bit & 1]
        rows = np.flatnonzero(misses == pattern)
        for first in range(0, len(rows), shard_size):
            yield ShardMessage.of(names, rows[first : first + shard_size].tolist())

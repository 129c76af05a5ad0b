"""Sharding: the rows that no part holds yet -> messages, and which runs share one."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.messages import MAX_RUNS, ShardMessage
from common.run import share_prefill
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
        recorded = group[0].record.provenance.get("shard_size", DEFAULT_SHARD_SIZE)
        yield from missing_messages(group, shard_size or int(recorded))


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
    misses = np.zeros(runs[0].spec.num_samples if runs else 0, dtype=np.uint32)
    for bit, run in enumerate(runs):
        misses[missing_rows(run)] |= 1 << bit
    for pattern in sorted(set(np.unique(misses).tolist()) - {0}, reverse=True):
        names = [str(run.key) for bit, run in enumerate(runs) if pattern >> bit & 1]
        rows = np.flatnonzero(misses == pattern)
        for first in range(0, len(rows), shard_size):
            yield ShardMessage.of(names, rows[first : first + shard_size].tolist())

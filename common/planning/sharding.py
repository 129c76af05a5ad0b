"""Messages for what the store does not hold yet, and for nothing else."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.messages import MAX_RUNS, ShardMessage
from common.run import share_prefill
from common.store.progress import missing_rows
from common.store.runs import RunFolder

DEFAULT_SHARD_SIZE = 64


def messages_for(
    runs: Sequence[RunFolder], shard_size: int | None = None
) -> Iterator[ShardMessage]:
    """Messages for every row that some run misses; runs that can share a prefill go together.

    shard_size: rows of a message at most; None is the size the runs were made with.
    """
    for together in sharing_runs(runs):
        made_with = together[0].record.provenance.get("shard_size", DEFAULT_SHARD_SIZE)
        yield from missing_messages(together, shard_size or int(made_with))


def sharing_runs(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs that can share a prefill, together, as many as a message may name."""
    groups: list[list[RunFolder]] = []
    for run in runs:
        for group in groups:
            together = [other.spec for other in (*group, run)]
            if len(together) <= MAX_RUNS and share_prefill(together):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def missing_messages(runs: Sequence[RunFolder], shard_size: int) -> Iterator[ShardMessage]:
    """Messages for every row that some run misses; rows missed by the same runs go together.

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

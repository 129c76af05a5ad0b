"""Messages for what the store does not hold yet, and for nothing else."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.messages import ShardMessage
from common.run import Layout, Positions
from common.store.parts import missing_rows
from common.store.runs import Run

DEFAULT_SHARD_SIZE = 64


def messages_for(runs: Sequence[Run]) -> Iterator[ShardMessage]:
    """Messages for every row that some run misses, in shards of the size they were made with.

    Runs that can share a prefill are asked together.
    """
    for together in sharing_runs(runs):
        size = int(together[0].record.provenance.get("shard_size", DEFAULT_SHARD_SIZE))
        yield from missing_messages(together, size)


def sharing_runs(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that can share a prefill, together: equal engine options, and at most one layout."""
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            layouts = {_layout(other) for other in (*group, run)} - {None}
            same = group[0].spec.engine_options() == run.spec.engine_options()
            if same and len(layouts) <= 1:
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _layout(run: Run) -> tuple[Layout, Positions | None] | None:
    return (run.spec.layout, run.spec.positions) if run.spec.layout else None


def missing_messages(runs: Sequence[Run], shard_size: int) -> Iterator[ShardMessage]:
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

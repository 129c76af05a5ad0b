"""Enqueueing: what was asked -> frozen runs -> messages for what is missing.

Everything that can be refused is refused before a run is written or a message sent.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from common.messages import ShardMessage
from common.models import ModelSource, find_model
from common.store import Location, Run, missing_rows
from producer.examples import choose_examples
from producer.freeze import freeze
from producer.request import EnqueueRequest
from producer.sources.reading import Reading


@dataclass(frozen=True)
class Prepared:
    """Runs that exist in the store, and what is left to do for them."""

    runs: tuple[Run, ...]
    model: ModelSource
    messages: tuple[ShardMessage, ...]
    notes: tuple[str, ...]


def prepare(request: EnqueueRequest, location: Location) -> Prepared:
    """Freeze the runs that do not exist yet and list the missing rows of all."""
    location.check_writable()
    model = find_model(request.model)
    examples, note = choose_examples(request, request.source)
    reading = Reading(request.source, request.selection, request.max_samples)
    with ExitStack() as staging:
        runs = freeze(request, location, model, reading, examples, staging)
    messages = tuple(missing_messages(runs, request.shard_size))
    return Prepared(tuple(runs), model, messages, ((note,) if note else ()) + reading.notes)


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

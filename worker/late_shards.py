"""Late shards: those whose runs were overwritten since they were opened. Their work is dropped."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import OverwrittenRun, RetryShard
from worker.shards import Shard

logger = logging.getLogger(__name__)


@contextmanager
def unless_overwritten() -> Iterator[None]:
    """Drop what the block makes of a run, with one line in the log, if the run was overwritten."""
    try:
        yield
    except OverwrittenRun as error:
        logger.warning("%s", error)


def is_late(shard: Shard, error: Exception) -> bool:
    """Whether an error is no verdict on the shard's runs, as others have taken their place.

    Raises RetryShard if some runs have been replaced and others have not: opened anew, the shard
    is judged as a whole.
    """
    overwritten = [run for run in shard.runs if run.is_overwritten()]
    if overwritten and len(overwritten) < len(shard.runs):
        raise RetryShard(f"a run of this shard was overwritten: {error}") from error
    if overwritten:
        logger.warning("shard dropped, as its runs were overwritten meanwhile: %s", error)
    return bool(overwritten)

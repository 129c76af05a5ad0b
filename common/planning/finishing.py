"""Finishing: what follows the last part of a run. It is merged, and its dependent runs begin.

`finish_run` may be called by anyone, at any time, again and again and by several at once: what is
done already is found done. A merge takes as long as the run is large, so no process that holds a
model calls it; a worker has a process of its own for it (`worker.merge_starter`).
"""

import logging
from collections.abc import Callable, Sequence

from common.errors import OverwrittenRun, UsageError
from common.messages import ShardMessage
from common.models import ModelSource, find_model
from common.planning.dependents import create_dependents
from common.planning.sharding import messages_for
from common.run_counters import RunCounters
from common.store import RunFolder, merge_run, missing_rows
from common.store.cancellation import is_cancelled
from common.store.identity import store_id
from common.store.progress import done_rows
from common.store.waiting import list_dependents

logger = logging.getLogger(__name__)

SendShard = Callable[[ShardMessage, ModelSource], None]
"""Puts a message on the queue of a model."""


def finish_run(run: RunFolder, counters: RunCounters, send: SendShard) -> None:
    """Merge a complete run, then create the runs that depend on it and send their shards.

    Does nothing for a run with missing rows, or one that is cancelled. What is wrong with the run
    stops it, and what is wrong with a dependent stops that one. Raises OSError, redis.RedisError
    and what `send` raises: the run is not to blame then, and calling this again does what is left.
    """
    try:
        if not missing_rows(run).size and not is_cancelled(run):
            manifest = merge_run(run)
            logger.info("run %s merged: %d rows, %s", run.key, manifest.found, run.feather_path)
            _begin_dependents(run, counters, send)
    except OverwrittenRun as error:
        logger.warning("%s", error)
    except UsageError as error:
        _stop_if_it_stands(run, counters, error)


def _stop_if_it_stands(run: RunFolder, counters: RunCounters, error: UsageError) -> None:
    """Stop the run, unless the error is of a moment that has passed.

    Another run may have taken its place, or its failed rows may be answered again.
    """
    try:
        run.check_stands()
        if missing_rows(run).size:
            return
    except OverwrittenRun as overwritten:
        logger.warning("%s", overwritten)
        return
    except UsageError:
        pass  # The record is damaged, and the error says so.
    logger.error("run stopped: %s", error)
    counters.stop(str(run.key), str(error))


def _begin_dependents(run: RunFolder, counters: RunCounters, send: SendShard) -> None:
    """Create the dependents of a merged run, and send their shards."""
    try:
        dependents = create_dependents(run)
    except OverwrittenRun:
        raise
    except UsageError as error:
        logger.error("runs that depend on %s cannot be created: %s", run.key, error)
        _stop_dependents(run, counters, str(error))
        return
    for new in dependents:
        logger.info("run %s was created, it depends on %s", new.key, run.key)
        counters.reset(str(new.key), done_rows(new))
        counters.note_store(str(new.key), store_id(new.store))
    models = _find_models(dependents, counters)
    for message in messages_for([new for new in dependents if str(new.key) in models]):
        send(message, models[message.runs[0]])


def _find_models(runs: Sequence[RunFolder], counters: RunCounters) -> dict[str, ModelSource]:
    """Map the key of each run to its model; a run whose model is not on this host is stopped."""
    models = {}
    for run in runs:
        try:
            models[str(run.key)] = find_model(run.spec.model)
        except UsageError as error:
            logger.error("run %s stopped: %s", run.key, error)
            counters.stop(str(run.key), f"{error} (on the host that merged the run before it)")
    return models


def _stop_dependents(run: RunFolder, counters: RunCounters, reason: str) -> None:
    for dependent in list_dependents(run):
        counters.stop(str(dependent.key), reason)

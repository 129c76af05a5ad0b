"""Finishing: after its last part a run is merged, and its dependent runs begin.

`finish_run` may be called by anyone, at any time, again and again and by several at once: what is
done already is found done. A merge takes as long as the run is large, so no process that holds a
model calls `finish_run`; a worker merges in a process of its own (`worker.merge_starter`).
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby

import redis

from common.broker import queue_of_run
from common.errors import OverwrittenRun, RetryShard, UsageError
from common.messages import SendShards, ShardMessage
from common.models import find_model
from common.planning.dependents import create_dependents
from common.planning.sharding import messages_for
from common.run_counters import RunCounters
from common.store import RunFolder, merge_run, missing_rows
from common.store.cancellation import is_cancelled
from common.store.identity import store_id
from common.store.progress import done_rows
from common.store.waiting import list_dependents

logger = logging.getLogger(__name__)


def finish_run(run: RunFolder, counters: RunCounters, send: SendShards) -> None:
    """Merge a complete run, then create the runs that depend on it and send their shards.

    Does nothing for a run with missing rows, or a cancelled run. A fault of the run stops the run,
    and a fault of a dependent stops the dependent. Raises OSError, redis.RedisError
    and RetryShard: the run is not to blame then, and calling this again does what is left.
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


def _begin_dependents(run: RunFolder, counters: RunCounters, send: SendShards) -> None:
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
    _send(messages_for(_with_models(dependents, counters)), send)


def _send(messages: Iterable[ShardMessage], send: SendShards) -> None:
    """Put each message on the queue of its runs; raises RetryShard if the broker is away."""
    try:
        for queue, of_queue in groupby(messages, lambda message: queue_of_run(message.runs[0])):
            send(list(of_queue), queue)
    except redis.RedisError as error:
        raise RetryShard(f"the broker does not take the dependent runs: {error}") from error


def _with_models(runs: Sequence[RunFolder], counters: RunCounters) -> list[RunFolder]:
    """Return the runs whose model is on this host; the others are stopped."""
    sendable = []
    for run in runs:
        try:
            find_model(run.spec.model, run.spec.revision)
        except UsageError as error:
            logger.error("run %s stopped: %s", run.key, error)
            counters.stop(str(run.key), f"{error} (on the host that merged the run before it)")
        else:
            sendable.append(run)
    return sendable


def _stop_dependents(run: RunFolder, counters: RunCounters, reason: str) -> None:
    for dependent in list_dependents(run):
        counters.stop(str(dependent.key), reason)

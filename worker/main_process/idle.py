"""Idle: a worker without work looks for work that was lost, and for runs that nobody merged.

The look runs in a thread of the main process, which loads no torch; the event loop never waits.
Of all workers one looks at a time, at the runs that were enqueued and are not settled yet.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from celery import bootsteps
from celery.worker import state
from redis.exceptions import LockError

from common.errors import described
from common.messages import SendShards
from common.planning.reconcile import Reconciler, RunFinding
from common.planning.reconcile_store import reconcile_enqueued
from common.resends import reconciling_lock
from common.run_counters import RunCounters
from common.settings import Settings
from common.shard_sender import send_shards
from common.store.filesystem import StoreFilesystem
from common.store.runs import RunFolder
from worker.merge_starter import MergeStarter

logger = logging.getLogger(__name__)

LOOK_SECONDS = 4.0
IDLE_SECONDS = 4.0
PAUSE_SECONDS = 15.0
"""After a fault of the store or the broker, which others report as well."""


class Idle(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts the thread together with the consumer, and ends both together."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        self._ended = threading.Event()

    def start(self, consumer: Any) -> None:
        settings = Settings.from_environment()
        if not settings.reconcile:
            return
        self._ended = threading.Event()
        look = idle_look(settings, partial(send_shards, consumer.app))
        arguments = (look, lambda: bool(state.reserved_requests), self._ended)
        threading.Thread(target=look_when_idle, args=arguments, name="idle", daemon=True).start()

    def stop(self, consumer: Any) -> None:
        self._ended.set()

    shutdown = stop


def look_when_idle(
    look: Callable[[], object],
    is_busy: Callable[[], bool],
    ended: threading.Event,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Call `look` at each interval in which there was nothing to do, until `ended` is set.

    An error is only logged, and followed by a pause.
    """
    busy_at, pause = time.monotonic(), 0.0
    while not ended.wait(look_seconds + pause):
        pause = 0.0
        if is_busy():
            busy_at = time.monotonic()
        elif time.monotonic() - busy_at >= min(IDLE_SECONDS, look_seconds):
            try:
                look()
            except Exception as error:
                pause = PAUSE_SECONDS
                logger.warning(
                    "could not look for lost work, will try again: %s", described(error)
                )


def idle_look(settings: Settings, send: SendShards) -> Callable[[], list[RunFinding]]:
    """Return a function that looks at the enqueued runs once, unless another worker does."""
    # Not opened here: a store that cannot be is the matter of whoever answers shards.
    store = cache(partial(StoreFilesystem.open, settings.store))
    counters = RunCounters.connect(settings.broker, settings.namespace)
    merges = MergeStarter(settings)

    def merge(run: RunFolder) -> str:
        merges.start([str(run.key)], anew=False)
        return "is being merged"

    reconciler = Reconciler(counters, send, merge)

    def look() -> list[RunFinding]:
        lock = reconciling_lock(counters)
        if not lock.acquire():
            return []
        try:
            findings = reconcile_enqueued(store(), settings.namespace, reconciler)
        finally:
            release(lock)
        for finding in findings:
            if finding.did:
                logger.info("run %s %s", finding.run.key, finding.text)
        return findings

    return look


def release(lock: Any) -> None:
    """Release a lock, unless it was given up meanwhile and has another holder."""
    try:
        lock.release()
    except LockError:
        logger.info("the look for lost work took longer than its lock")

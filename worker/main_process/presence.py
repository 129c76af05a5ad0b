"""Presence: a worker announces itself in Redis while it lives (`common.live_workers`)."""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import redis
from celery import bootsteps
from celery.worker import state

from common.errors import UsageError, first_line
from common.live_workers import BEAT_SECONDS, Announcement, announce, place_of, withdraw
from common.run_counters import RunCounters
from common.settings import Settings
from common.store.filesystem import StoreFilesystem
from common.store.identity import known_store_id
from worker.device_deaths import forget_deaths
from worker.host import describe_device

logger = logging.getLogger(__name__)

_WITHDRAW_SECONDS = 5.0


class Presence(bootsteps.StartStopStep):  # type: ignore[misc]
    """Announces the worker from a thread of its main process, from before its processes are up."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread()

    def start(self, worker: Any) -> None:
        settings = Settings.from_environment()
        counters = RunCounters.connect(settings.broker, settings.namespace)
        _tell(lambda: forget_deaths(counters, worker.concurrency), True)
        arguments = (counters, announcement(worker), self._ended)
        self._thread = threading.Thread(
            target=keep_announcing, args=arguments, name="presence", daemon=True
        )
        self._thread.start()

    def close(self, worker: Any) -> None:
        """Withdraw as soon as the worker takes no more work, before its last shards are done."""
        self._ended.set()

    def stop(self, worker: Any) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_WITHDRAW_SECONDS)

    terminate = stop


def announcement(worker: Any) -> Announcement:
    """Return the announcement of a Celery worker."""
    settings = Settings.from_environment()
    return Announcement(
        name=worker.hostname,
        place=place_of(os.getpid()),
        processes=worker.concurrency,
        queues=tuple(sorted(worker.app.amqp.queues.consume_from)),
        version=version("self-ensemble"),
        store=settings.store,
        device=describe_device(settings.device),
    )


def keep_announcing(
    counters: RunCounters,
    worker: Announcement,
    ended: threading.Event,
    interval: float = BEAT_SECONDS,
) -> None:
    """Announce a worker at each interval (seconds) until it ends, then withdraw the worker."""
    reached = True
    while not (ended.is_set() or _stopping()):
        worker = _with_store_id(worker)
        reached = _tell(partial(announce, counters, worker), reached)
        ended.wait(interval)
    _tell(lambda: withdraw(counters, worker.name), reached)


def _with_store_id(worker: Announcement) -> Announcement:
    """Add the id of the worker's store; a store gets it from its first producer."""
    if worker.store_id or not worker.store:
        return worker
    try:
        store_id = known_store_id(StoreFilesystem.open(worker.store))
    except (OSError, UsageError):
        return worker  # Its shards say so, too.
    return worker.model_copy(update={"store_id": store_id})


def _stopping() -> bool:
    """Whether the worker is told to end; the status may be 0."""
    flags = (state.should_stop, state.should_terminate)
    return any(flag is not None and flag is not False for flag in flags)


def _tell(call: Callable[[], None], reached: bool) -> bool:
    """Whether the broker was reached; the first time that it was not is logged."""
    try:
        call()
    except redis.RedisError as error:
        if reached:
            logger.warning("other programs cannot be told of this worker: %s", first_line(error))
        return False
    return True

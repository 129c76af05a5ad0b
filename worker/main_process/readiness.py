"""Readiness: a worker takes no message before its processes are warm.

Celery starts to consume while its processes are still importing or loading a model. A message
taken then would wait here, although another worker could answer the shard.
"""

import logging
from multiprocessing.connection import wait
from typing import Any

from celery import bootsteps
from celery.worker import state

from worker.main_process.pool import ModelProcesses

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class Readiness(bootsteps.StartStopStep):  # type: ignore[misc]
    """Delays the start of the consumer until every process, or one in its place, is up."""

    # While it waits, the worker is seen to live.
    requires = (
        "celery.worker.components:Pool",
        "worker.main_process.presence:Presence",
        "worker.main_process.health:Health",
    )

    def start(self, worker: Any) -> None:
        # Only the pool of processes has any; its first ones have no time limit.
        pool = getattr(worker.pool, "_pool", None)
        if isinstance(pool, ModelProcesses):
            await_up(_ends(pool))
            while pool.replace_ended():
                await_up(_ends(pool))


def _ends(pool: ModelProcesses) -> list[tuple[Any, Any]]:
    return [(process.outq._reader, process.sentinel) for process in pool._pool]


def await_up(processes: list[tuple[Any, Any]]) -> None:
    """Wait until each process has sent its first message or ended.

    Reads no message, so that the pool finds it later. Raises WorkerShutdown if the worker is
    told to stop.

    processes: for each, the reader of its messages and the sentinel that tells its end.
    """
    starting = list(processes)
    if starting:
        logger.info("waiting for %d processes to be ready", len(starting))
    while starting:
        state.maybe_shutdown()
        ready = wait([end for pair in starting for end in pair], timeout=_LOOK_SECONDS)
        starting = [pair for pair in starting if not any(end in ready for end in pair)]

"""Readiness: no message is taken before the worker's processes are warm.

Celery starts to consume while its processes are still importing or loading a model; what it
takes then waits here although another worker could have it.
"""

import logging
from multiprocessing.connection import wait
from typing import Any

from celery import bootsteps
from celery.worker import state

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class Readiness(bootsteps.StartStopStep):  # type: ignore[misc]
    """Holds the start of the consumer until every process has said that it is up, or ended."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        # Only the prefork pool has processes, and its first ones are under no time limit.
        processes = getattr(getattr(worker.pool, "_pool", None), "_pool", [])
        await_up([(p.outq._reader, p.sentinel) for p in processes if hasattr(p, "outq")])


def await_up(processes: list[tuple[Any, Any]]) -> None:
    """Wait until of each pair something can be read: its first message, or that it has ended.

    Reads nothing, so the pool finds the message later. Raises WorkerShutdown when told to stop.
    """
    starting = list(processes)
    if starting:
        logger.info("waiting for %d processes to be ready", len(starting))
    while starting:
        state.maybe_shutdown()
        told = wait([end for pair in starting for end in pair], timeout=_LOOK_SECONDS)
        starting = [pair for pair in starting if not any(end in told for end in pair)]

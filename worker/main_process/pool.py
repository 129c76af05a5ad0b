"""The pool of model processes: one that dies while it starts is replaced, a few times.

Celery ends the whole worker if a process is dead when the worker begins to take messages, and
replaces one that dies later without end. This pool replaces both, until one died too often in a
row; and it tells the deaths of sick devices from others by their exit status.
"""

import logging
from collections import Counter
from typing import Any, ClassVar

from billiard.common import human_status
from billiard.einfo import ExceptionInfo
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

from common.settings import Settings
from worker.main_process.own_faults import DeviceLost, own_faults
from worker.sick_device import EXIT_STATUS, GAVE_UP_STATUS

logger = logging.getLogger(__name__)

STARTS_AFTER_LAST_ATTEMPT = 2
"""A model that cannot be warmed costs `max_attempts` starts; after those it is left out."""


class ModelProcesses(AsynPool):  # type: ignore[misc]
    """Celery's pool with an eye on why its processes end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._up: set[int] = set()
        self._deaths_of_starting: Counter[int] = Counter()
        super().__init__(*arguments, **options)

    def on_process_alive(self, pid: int) -> None:
        """Note that a process is up."""
        self._up.add(pid)
        for process in self._pool:
            if process.pid == pid:
                self._deaths_of_starting.pop(process.index, None)
        super().on_process_alive(pid)

    def _join_exited_workers(self, shutdown: bool = False) -> Any:
        ended = [process for process in self._pool if process.exitcode is not None]
        statuses = super()._join_exited_workers(shutdown)
        for process in ended:
            if process.pid not in self._up and not shutdown:
                self._count_death_of_starting(process)
            self._up.discard(process.pid)
        return statuses

    def _count_death_of_starting(self, process: Any) -> None:
        """Have the worker end if this process and its predecessors never came up."""
        self._deaths_of_starting[process.index] += 1
        deaths = self._deaths_of_starting[process.index]
        status = human_status(process.exitcode)
        logger.error("process %d ended while it started: %s", process.index, status)
        if deaths >= Settings.from_environment().max_attempts + STARTS_AFTER_LAST_ATTEMPT:
            own_faults.end_worker(
                EXIT_STATUS,
                f"its process {process.index} ended {deaths} times in a row while it started, "
                f"the last time with {status}. The lines above, or the system's log, say why",
            )

    def replace_ended(self) -> bool:
        """Replace the processes that ended before the event loop runs; whether there were any."""
        ended = [process for process in self._pool if process.exitcode is not None]
        self._join_exited_workers()
        for process in ended:
            self._process_cleanup_queues(process)
            self._fileno_to_inq.pop(process.inqW_fd, None)
            self._all_inqueues.discard(process.inqW_fd)
        self._repopulate_pool([])
        for process in self._pool:
            self._fileno_to_outq[process.outqR_fd] = process
            self._fileno_to_synq[process.synqW_fd] = process
        return bool(ended)

    def mark_as_worker_lost(self, job: Any, exitcode: int) -> None:
        """Fail a job whose process ended; Celery gives its message back."""
        if exitcode not in (EXIT_STATUS, GAVE_UP_STATUS):
            super().mark_as_worker_lost(job, exitcode)
            return
        try:
            raise DeviceLost(exitcode == GAVE_UP_STATUS, self._processes)
        except DeviceLost:
            job._set(None, (False, ExceptionInfo()))


class ModelPool(TaskPool):  # type: ignore[misc]
    """Celery's prefork pool, with the processes above."""

    Pool: ClassVar[Any] = ModelProcesses

    def did_start_ok(self) -> bool:
        """Whether the worker may go on: processes that ended are replaced, not refused."""
        return True

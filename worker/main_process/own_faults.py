"""Own faults: shards that this worker gives back, counted in its main process.

A worker with another store, or without the right to write to it, would give back every shard that
it gets. After each it takes nothing for a moment, so that others get the shard; after a few in a
row it ends with a status of its own. A supervisor sees that, as it would not see a worker that
stays and does nothing; and if the fault has passed, starting the worker again is all it takes. So
does one whose device gets sick of whatever it gets, or whose processes never come up.
"""

import logging
import time
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.exceptions import Reject
from celery.worker import state
from celery.worker.request import Request

from worker import sick_device

logger = logging.getLogger(__name__)

EXIT_STATUS = 78
"""EX_CONFIG of sysexits.h: restarting helps only once something is mended."""

MOST_IN_A_ROW = 3
PAUSE_SECONDS = 1.0


class GivenBack(Reject):  # type: ignore[misc]
    """A shard that is put back at the end of its queue, as this worker is at fault."""

    def __init__(self, reason: object = None, requeue: bool = True) -> None:
        super().__init__(reason, requeue)


class PutBack(Reject):  # type: ignore[misc]
    """A shard that is put back as the broker did not take its verdict. No fault."""

    def __init__(self, reason: object = None, requeue: bool = True) -> None:
        super().__init__(reason, requeue)


class OwnFaults:
    """Counts the faults of this worker since its last success, over all its processes.

    flags: Celery's, which its main loop reads: `should_stop` is the status to end with.
    """

    def __init__(self, flags: Any) -> None:
        self._flags = flags
        self._in_a_row = 0
        self._devices_given_up = 0
        self._paused_until = 0.0

    def succeeded(self) -> None:
        self._in_a_row = self._devices_given_up = 0

    def failed(self, reason: object) -> None:
        """Count a fault: pause, longer each time, or after the last fault have the worker end."""
        self._in_a_row += 1
        if self._in_a_row < MOST_IN_A_ROW:
            self.pause(self._in_a_row)
        else:
            self.end_worker(
                EXIT_STATUS,
                f"it gave back {self._in_a_row} shards in a row, which wait for other workers. "
                f"Mend the cause and start it again: {reason}",
            )

    def device_lost(self, gave_up: bool, processes: int) -> None:
        """Pause after a process lost its device; have the worker end once it has none left.

        gave_up: the device gets sick of whatever it gets. processes: of the whole worker.
        """
        self._devices_given_up += gave_up
        if self._devices_given_up < processes:
            self.pause()
        else:
            self.end_worker(
                sick_device.EXIT_STATUS,
                "its device got sick of each of the last shards, which wait for other workers. "
                "The errors are above; the system's log may have those of the device",
            )

    def end_worker(self, status: int, reason: str) -> None:
        """Have the worker end, once its other processes are done, unless it ends already."""
        if self._flags.should_stop is None:
            self._flags.should_stop = status
            logger.critical(
                "this worker takes no more work and ends with status %d: %s", status, reason
            )

    def pause(self, times: int = 1) -> None:
        """Leave the queues to others for a moment, without a fault."""
        self._paused_until = time.monotonic() + PAUSE_SECONDS * times

    def pausing(self) -> bool:
        """Whether this worker leaves the queues to others just now."""
        return time.monotonic() < self._paused_until


class DeviceLost(WorkerLostError):  # type: ignore[misc]
    """A process ended as its device got sick.

    gave_up: the device gets sick of whatever it gets. processes: how many the worker has.
    """

    def __init__(self, gave_up: bool, processes: int) -> None:
        super().__init__(gave_up, processes)
        self.gave_up = gave_up
        self.processes = processes

    def __str__(self) -> str:
        return "the device of a process got sick; the shard goes back"


own_faults = OwnFaults(state)
"""Faults of this process, if it is a worker's main process."""


class CountedRequest(Request):  # type: ignore[misc]
    """A shard in the main process; tells `own_faults` how it went."""

    def acknowledge(self) -> None:
        super().acknowledge()
        own_faults.succeeded()

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().on_failure(exc_info, *args, **kwargs)
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, PutBack):
            own_faults.pause()
        elif isinstance(error, GivenBack):
            own_faults.failed(error.reason)
        elif isinstance(error, DeviceLost):
            own_faults.device_lost(error.gave_up, error.processes)
        return result

"""Health: two files by which a supervisor sees that a worker lives, and that it takes messages.

`celery inspect ping` starts Python, waits a second, and says nothing of a worker that still loads
its model. Instead the main process touches `alive` from its start on, and `ready` while it takes
messages. A file that is older than HEALTHY_SECONDS counts for nothing: its worker was killed.
"""

import logging
import threading
from pathlib import Path
from typing import Any

from celery import bootsteps

from common.errors import first_line
from common.settings import Settings

logger = logging.getLogger(__name__)

TOUCH_SECONDS = 5.0
HEALTHY_SECONDS = 60


class HealthFiles:
    """The files `alive` and `ready` in a folder of one worker's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_ready = False
        self._is_over = False
        self._works = True

    def touch(self) -> None:
        """Set the time of each file that is true just now, and delete the other."""
        with self._lock:
            if self._is_over:
                return
            try:
                self._touch()
            except OSError as error:
                self._complain(error)
            else:
                self._works = True

    def set_ready(self, is_ready: bool) -> None:
        """Say whether the worker takes messages."""
        self._is_ready = is_ready
        self.touch()

    def remove(self) -> None:
        """Delete both files, for good."""
        with self._lock:
            self._is_over = True
            for name in ("ready", "alive"):
                self._file(name).unlink(missing_ok=True)

    def _touch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file("alive").touch()
        if self._is_ready:
            self._file("ready").touch()
        else:
            self._file("ready").unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _complain(self, error: OSError) -> None:
        if self._works:
            logger.error("no supervisor can see this worker's health: %s", first_line(error))
        self._works = False


class Health(bootsteps.StartStopStep):  # type: ignore[misc]
    """Touches the files from a thread of the main process; they are gone after an orderly end."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        folder = Settings.from_environment().health_dir
        worker.health_files = HealthFiles(Path(folder)) if folder else None
        self._ended = threading.Event()

    def include_if(self, worker: Any) -> bool:
        return worker.health_files is not None

    def start(self, worker: Any) -> None:
        arguments = (worker.health_files, self._ended)
        threading.Thread(target=keep_touching, args=arguments, name="health", daemon=True).start()

    def stop(self, worker: Any) -> None:
        self._ended.set()
        worker.health_files.remove()

    terminate = stop


class TakesMessages(bootsteps.StartStopStep):  # type: ignore[misc]
    """Notes that the worker takes messages from now on, until it stops or loses the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def include_if(self, consumer: Any) -> bool:
        return getattr(consumer.controller, "health_files", None) is not None

    def start(self, consumer: Any) -> None:
        consumer.controller.health_files.set_ready(True)

    def stop(self, consumer: Any) -> None:
        consumer.controller.health_files.set_ready(False)

    shutdown = stop


def keep_touching(
    files: HealthFiles, ended: threading.Event, interval: float = TOUCH_SECONDS
) -> None:
    """Touch files at each interval (seconds) until `ended` is set, and then delete all files."""
    while not ended.is_set():
        files.touch()
        ended.wait(interval)
    files.remove()

"""The merge starter: starts a merge process for runs that look complete.

A process that holds a model has better to do than to merge. It is no `multiprocessing` process,
which Celery's children may not start, and no fork, which CUDA does not survive.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from common.settings import Settings

logger = logging.getLogger(__name__)


class MergeStarter:
    """Starts and watches merge processes, which end with this process at the latest.

    module: the module that a merge process runs.
    """

    def __init__(self, settings: Settings, module: str = "worker.merge_process") -> None:
        self._command = [sys.executable, "-m", module]
        self._environment = {**os.environ, **settings.to_environment()}
        self._running: list[_Merge] = []

    def start(self, keys: Sequence[str], anew: bool = True) -> None:
        """Start a process that merges runs, and return at once. Raises OSError if that fails.

        anew: whether a run may have got a part just now, which a merge under way may lack.
        Otherwise runs that are being merged are left out, as when a shard is delivered again.
        """
        self._running = [merge for merge in self._running if merge.watcher.is_alive()]
        busy = set() if anew else {key for merge in self._running for key in merge.keys}
        if wanted := [key for key in keys if key not in busy]:
            self._running.append(_Merge(self._command, self._environment, wanted))

    def wait(self, seconds: float = 3600.0) -> None:
        """Return when every process has ended, or the time is over."""
        deadline = time.monotonic() + seconds
        for merge in self._running:
            merge.watcher.join(max(0.0, deadline - time.monotonic()))

    def end(self) -> None:
        """Tell every process to end, as the end of this process does."""
        for merge in self._running:
            merge.end()


class _Merge:
    """A merge process, and a thread that waits for its end."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], keys: Sequence[str]
    ) -> None:
        self.keys = keys
        self._process = subprocess.Popen(
            [*command, *keys],
            env=environment,
            stdin=subprocess.PIPE,  # Never written to: its end tells the end of this process.
            start_new_session=True,  # Ctrl-C is for the worker, which waits for its merges.
        )
        self.watcher = threading.Thread(target=self._watch, name="merge", daemon=True)
        self.watcher.start()

    def end(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()

    def _watch(self) -> None:
        """Say in the log if the process left its runs as they were."""
        if status := self._process.wait():
            logger.error(
                "merging %s ended with status %d; runs that are complete and not merged are "
                "merged by an idle worker",
                " ".join(self.keys), status,
            )  # fmt: skip

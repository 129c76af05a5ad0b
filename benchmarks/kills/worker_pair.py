"""Two workers on a namespace of their own, and shards that are sent to them one at a time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.kills.held_task import ShardStart, connect, let_go_key, starts_key
from common.broker import ANSWER_SHARD, OTHER_QUEUE, celery_settings, key_prefix
from common.errors import UsageError
from common.settings import Settings
from producer.local import child, tail

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
_LOOK_SECONDS = 0.05


class WorkerPair:
    """Two workers; one holds the shard, the other has nothing to do. Ended by `ends`."""

    def __init__(self, settings: Settings, folder: Path, ends: ExitStack) -> None:
        self._settings = settings
        self._folder = folder
        self._ends = ends
        self._client: Any = connect(settings)
        self._celery = Celery("kills", set_as_current=False)
        self._celery.conf.update(celery_settings(settings))
        ends.callback(self._celery.close)
        self._started = 0
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        for log in [self.start(), self.start()]:
            self.await_ready(log)

    def start(self) -> Path:
        """Start one more worker; returns its log."""
        self._started += 1
        log = self._folder / f"{self._settings.namespace}-{self._started}.log"
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.kills.held_task", "worker"]
        command += ["--without-gossip", "--without-mingle", "--loglevel=INFO", "-n", log.stem]
        environment = {**_environment(), **self._settings.to_environment()}
        process = self._ends.enter_context(child(command, log, environment))
        self._workers[process.pid] = process
        return log

    def await_ready(self, log: Path) -> None:
        """Return when the worker of that log takes shards. Raises UsageError if it does not."""
        deadline = time.monotonic() + START_SECONDS
        while " ready." not in tail(log, 100):
            if time.monotonic() > deadline:
                raise UsageError(f"a worker did not start; its last lines:\n{tail(log)}")
            time.sleep(_LOOK_SECONDS)

    def send(self, shard: int) -> None:
        """Put a shard on the queue."""
        arguments = {"runs": ["kills/of/workers"], "rows": [[shard, shard + 1]]}
        self._celery.send_task(ANSWER_SHARD, kwargs=arguments, queue=OTHER_QUEUE)

    def await_start(self, shard: int, seconds: float) -> ShardStart:
        """Return the next start of a shard. Raises UsageError if none comes."""
        taken = self._client.blpop([starts_key(self._settings.namespace)], timeout=seconds)
        if taken is None:
            raise UsageError(f"shard {shard} was not taken up within {seconds:g} s")
        start = ShardStart.model_validate_json(taken[1])
        if start.shard != shard:
            raise UsageError(f"shard {start.shard} was started in place of shard {shard}")
        return start

    def starts_since(self) -> int:
        """Count the starts that were not awaited."""
        return int(self._client.llen(starts_key(self._settings.namespace)))

    def let_go(self, shard: int) -> None:
        """End the task of a shard, and return when the shard is acknowledged."""
        self._client.rpush(let_go_key(self._settings.namespace, shard), "now")
        deadline = time.monotonic() + START_SECONDS
        while self._client.hlen(f"{key_prefix(self._settings.namespace)}unacked"):
            if time.monotonic() > deadline:
                raise UsageError(f"shard {shard} was let go and is not acknowledged")
            time.sleep(_LOOK_SECONDS)

    def kill(self, worker: int) -> float:
        """Kill a worker with all its processes; returns when that was, in seconds (epoch)."""
        at = time.time()
        os.killpg(worker, signal.SIGKILL)
        self._workers.pop(worker).wait()
        return at


@contextmanager
def worker_pair(settings: Settings, folder: Path) -> Iterator[WorkerPair]:
    """Run two workers; end them after the block."""
    with ExitStack() as ends:
        yield WorkerPair(settings, folder, ends)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "SELF_ENSEMBLE_PROCESSES": "1"}

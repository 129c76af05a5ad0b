"""Soak: a healthy shard that takes several visibility timeouts is started once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.kills.worker_pair import WorkerPair

START_SECONDS = 120.0


def starts_of_a_shard(
    pair: WorkerPair, shard: int, seconds: float, disturb: Callable[[int, float], None]
) -> int:
    """Hold a shard for so many seconds and return how often it was started.

    disturb: called with the process id of the worker that holds it and the `time.monotonic()` at
    which it has to return.
    """
    pair.send(shard)
    first = pair.await_start(shard, START_SECONDS)
    until = time.monotonic() + seconds
    disturb(first.worker, until)
    time.sleep(max(0.0, until - time.monotonic()))
    again = pair.starts_since()
    pair.let_go(shard)
    return 1 + again


def leave_alone(worker: int, until: float) -> None:
    """Do nothing."""


def load_processors(worker: int, until: float) -> None:
    """Keep every core of this machine busy."""
    with _busy_processes(2 * (os.cpu_count() or 1)):
        time.sleep(max(0.0, until - time.monotonic()))


def stop_and_continue(stopped_seconds: float) -> Callable[[int, float], None]:
    """Stop the main process of the worker for so long, let it go on for a moment, and again."""

    def disturb(worker: int, until: float) -> None:
        while time.monotonic() + stopped_seconds < until:
            os.kill(worker, signal.SIGSTOP)
            try:
                time.sleep(stopped_seconds)
            finally:
                os.kill(worker, signal.SIGCONT)
            time.sleep(stopped_seconds / 2)

    return disturb


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()

"""Listeners: whether somebody works on runs, or why nobody does, as one sentence."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import redis

from common.broker import queue_of_run
from common.live_workers import LiveWorker, live_workers
from common.run_counters import RunCounters
from common.run_state import RunState


class Listeners:
    """Looks for the workers that serve the queues of runs, and remembers the last ones.

    expects_one: a worker is being started, so that none is there yet need not be said.
    """

    def __init__(self, counters: RunCounters, expects_one: bool = False) -> None:
        self._counters = counters
        self._expects_one = expects_one
        self._last: dict[str, str] = {}

    def sentence(self, states: Iterable[RunState]) -> str | None:
        """Say why nobody works on these runs, or what their workers do first.

        None if a worker serves them, if none of them waits for a worker, and while the broker
        does not answer.
        """
        queues = {
            queue_of_run(state.key) for state in states if state.name in ("queued", "running")
        }
        busy = {queue_of_run(state.key) for state in states if state.is_at_work}
        try:
            workers = live_workers(self._counters) if queues else []
        except redis.RedisError:
            return None
        sentences = (self._of_queue(queue, workers, queue in busy) for queue in sorted(queues))
        return "; ".join(filter(None, sentences)) or None

    def _of_queue(self, queue: str, workers: Sequence[LiveWorker], is_busy: bool) -> str | None:
        serving = [worker for worker in workers if queue in worker.queues]
        if serving:
            self._last[queue] = serving[-1].name
            loading = all(worker.loading for worker in serving) and not is_busy
            return ", ".join(map(_loading, serving)) if loading else None
        return self._nobody(queue)

    def _nobody(self, queue: str) -> str | None:
        start = f"start one: `celery -A worker worker -Q {queue}` (without -Q for every queue)"
        if queue in self._last:
            return f"worker {self._last[queue]}, the last that served {queue}, has gone; {start}"
        return None if self._expects_one else f"no worker serves the queue {queue}; {start}"


def _loading(worker: LiveWorker) -> str:
    model = worker.loading[0]
    since = datetime.fromtimestamp(model.since)
    return f"worker {worker.name} is loading {model.model} since {since:%H:%M:%S}"

"""Refusals: models that a worker cannot use. A run stops once no worker can use its model."""

import os
import socket
from collections.abc import Sequence

from common.live_workers import live_workers, place_of
from common.run_counters import RunCounters


def no_worker_left(
    counters: RunCounters, runs: Sequence[str], queue: str, worker: str, error: Exception
) -> str | None:
    """Note that this worker cannot use the model of these runs; return why they stop.

    Returns None if another worker that serves the queue lives and has not refused the model. A
    worker that was started again may be able to use it, so its earlier refusal counts no more.

    worker: the name of this worker. Raises redis.RedisError.
    """
    here = place_of(os.getppid())
    for run in runs:
        counters.refuse(run, here, f"{worker}: {error}")
    refusals = counters.refusals(runs[0])
    others = {w.place for w in live_workers(counters) if queue in w.queues} - {here}
    if not others:
        return str(error)
    if others <= refusals.keys():
        reasons = [refusals[place] for place in sorted(others | {here})]
        return f"no worker can use the model; {'; '.join(reasons)}"
    return None


def loading_kills(model: str, deaths: int) -> str:
    """Why a model is refused whose loading ended the process each time."""
    return (
        f"model {model} was loaded {deaths} times, and each time the process on "
        f"{socket.gethostname()} ended. Most often the host has too little memory: its system log "
        "says so. Give it more, or a smaller --dtype or model"
    )

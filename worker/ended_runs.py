"""Ended runs: those whose shards are dropped, as they are stopped or cancelled."""

from common.errors import AlreadyStopped, CancelledRun, StopRun
from common.run_counters import RunCounters
from common.store import RunFolder
from common.store.cancellation import is_cancelled
from worker.hints import hint


def why_ended(run: RunFolder, counters: RunCounters) -> StopRun | None:
    """Return why no shard of the run is answered any more; None if they are.

    The store tells of a cancellation. A stop is not known while the broker is away.
    """
    if is_cancelled(run):
        return CancelledRun(f"run {run.key} is cancelled, its shard is dropped")
    reason = hint(lambda: counters.stop_reason(str(run.key)), None)
    if reason is None:
        return None
    return AlreadyStopped(f"run {run.key} is stopped, its shard is dropped: {reason}")

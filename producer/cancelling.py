"""Cancel a run: nobody works on it until it is enqueued again."""

import redis

from common.errors import UsageError
from common.run_counters import RunCounters
from common.store import RunFolder
from common.store.cancellation import cancel, resume


def cancel_run(run: RunFolder, counters: RunCounters) -> bool:
    """Cancel a run, created or waiting; return whether workers that answer a shard of it are told.

    The store has it first, where each worker looks before it takes a shard: that drops the queued
    ones. Those at work end with their next group of samples, if the broker tells them, or are
    finished. Answers in the store are kept, and runs that depend on this one wait. One that waits
    itself is not created.

    Raises UsageError for a run that is merged.
    """
    if run.exists() and run.is_merged():
        raise UsageError(
            f"run {run.key} is merged, there is nothing to cancel; `producer delete {run.key}` "
            "takes its result away"
        )
    cancel(run)
    try:
        counters.cancel(str(run.key))
    except redis.RedisError:
        return False
    return True


def resume_run(run: RunFolder) -> None:
    """Lift a cancellation in the store; sending the run's shards lifts it in the counters."""
    resume(run)

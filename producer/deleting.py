"""Delete runs: their record, snapshot, parts and merged file, and what waits for them."""

import redis

from common.errors import UsageError
from common.planning.dependents import forget_dependents, waiting_for
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem
from common.store.opening import open_listed
from producer.listing import find_run


def delete_run(
    store: StoreFilesystem, name: str, counters: RunCounters, force: bool = False
) -> None:
    """Delete a run, created or waiting, and with it the runs that wait for it.

    force: also while a worker answers a shard of it, whose part is then dropped. Messages of the
    run that are still queued are dropped by the workers that take them.

    Raises UsageError if there is no such run, if a worker is at work on it, and if the broker,
    which knows that, does not answer.
    """
    run = open_listed(store, RunKey.parse(name))
    if not force:
        refuse_at_work(store, name, counters)
    run.delete()
    forget_dependents(run)
    try:
        counters.forget(name)
    except redis.RedisError:
        return  # What is left there expires; it is reset if the run is ever enqueued again.


def refuse_at_work(store: StoreFilesystem, name: str, counters: RunCounters) -> None:
    """Raise UsageError if a worker answers a shard of the run, or if that is not known."""
    if not _may_be_at_work(RunFolder(store, RunKey.parse(name))):
        return
    try:
        (activity,) = counters.activity([name])
    except redis.RedisError as error:
        raise UsageError(
            f"whether a worker is at work on {name} is not known, as the broker does not answer "
            f"({error}); --force deletes it all the same"
        ) from None
    if activity.answered:
        raise UsageError(
            f"a worker is at work on {name}; `producer cancel {name}` and wait a moment, or use "
            "--force"
        )


def _may_be_at_work(run: RunFolder) -> bool:
    try:
        return run.exists() and not run.is_merged()
    except UsageError:
        return True


def describe(store: StoreFilesystem, name: str, counters: RunCounters) -> str:
    """Say in a line what the deletion of a run takes away.

    Raises UsageError if there is no such run. A damaged run can be deleted.
    """
    run = open_listed(store, RunKey.parse(name))
    try:
        (state,), _ = find_run(store, name, counters)
    except UsageError as error:
        return f"{name}: damaged ({error})"
    text = f"{name}: {state.name}"
    if state.progress is not None:
        text += f", {state.progress.ok} of {state.progress.expected} rows answered"
    waiting = ", ".join(str(later.key) for later in waiting_for(run))
    return f"{text}, and with it {waiting}" if waiting else text

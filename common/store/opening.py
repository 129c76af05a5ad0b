"""Opening a run by its key, or saying that the store does not have it."""

from common.errors import UsageError
from common.run import RunKey
from common.store.filesystem import StoreFilesystem
from common.store.runs import RunFolder
from common.store.waiting import is_planned


def open_run(store: StoreFilesystem, key: RunKey) -> RunFolder:
    """Return the folder of run `key`. Raises UsageError if it is not created."""
    run = RunFolder(store, key)
    if not run.exists():
        raise _not_there(run)
    return run


def open_listed(store: StoreFilesystem, key: RunKey) -> RunFolder:
    """Return a run that is created, or waits. Raises UsageError if it does neither."""
    run = RunFolder(store, key)
    if not run.exists() and not is_planned(run):
        raise _not_there(run)
    return run


def _not_there(run: RunFolder) -> UsageError:
    return UsageError(
        f"run {run.key} is not in the store {run.store.uri}; `producer runs` lists what is"
    )

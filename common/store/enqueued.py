"""Enqueued runs: those that were put on a queue, until somebody has found them merged.

    <store>/.enqueued/<namespace>/<dataset>/<model>/<name>

The queue can be lost, and then nothing in Redis says what was asked for. This list does, and it is
short: who looks for lost work reads it in place of all the runs that are merged. An interrupted
`producer run`, whose queue was its own, is not in it: no worker goes on with it by itself.
"""

from common.errors import UsageError
from common.run import RunKey
from common.store.filesystem import StoreFilesystem
from common.store.runs import RunFolder

_FOLDER = ".enqueued"


def note_enqueued(run: RunFolder, namespace: str) -> None:
    """Note that a run was put on a queue of a namespace. Repeating it changes nothing."""
    path = _path(run, namespace)
    if not run.store.exists(path):
        run.store.write_bytes(path, b"\n")


def forget_enqueued(run: RunFolder, namespace: str) -> None:
    """Note that a run needs nobody to look for it. Repeating it changes nothing."""
    run.store.delete(_path(run, namespace))


def list_enqueued(store: StoreFilesystem, namespace: str) -> list[RunFolder]:
    """List the noted runs, ordered by key; a run may have been deleted since."""
    folder = f"{_FOLDER}/{namespace}/"
    names = [path.removeprefix(folder) for path in store.list(folder[:-1], recursive=True)]
    return [RunFolder(store, key) for name in names if (key := _key(name))]


def _key(name: str) -> RunKey | None:
    """The key of a noted run; None for a file that is just being written."""
    try:
        return None if name.endswith(".tmp") else RunKey.parse(name)
    except UsageError:
        return None


def _path(run: RunFolder, namespace: str) -> str:
    return f"{_FOLDER}/{namespace}/{run.key}"

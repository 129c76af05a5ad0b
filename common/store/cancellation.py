"""Cancellation of a run, recorded beside it: the counters may lose it, the store does not.

The file's name carries the generation, so that a run that is overwritten is not cancelled.
"""

import json
import time
from collections.abc import Iterable

from common.errors import CancelledRun
from common.store.filesystem import StoredFile
from common.store.runs import RunFolder


def cancel(run: RunFolder) -> None:
    """Record that nobody is to work on the run. Raises as `RunFolder.check_stands`."""
    with run.write(_path(run)) as sink:
        sink.write(json.dumps({"since": time.time()}).encode())


def resume(run: RunFolder) -> None:
    """Forget a cancellation, if there is one."""
    if is_cancelled(run):
        run.store.delete(_path(run))


def is_cancelled(run: RunFolder) -> bool:
    return run.store.exists(_path(run))


def cancelled_since(run: RunFolder, files: Iterable[StoredFile] | None = None) -> float | None:
    """Return when the run was cancelled, in seconds since the epoch, or None if it is not.

    0 if it is, and the file does not tell when. files: a listing of those of the run, if the
    caller has one.
    """
    if not (is_cancelled(run) if files is None else _path(run) in {file.path for file in files}):
        return None
    try:
        return float(json.loads(run.store.read_bytes(_path(run)))["since"])
    except (ValueError, TypeError, KeyError, FileNotFoundError):
        return 0.0


def refuse_cancelled(run: RunFolder) -> None:
    """Raise CancelledRun if the run is cancelled."""
    if is_cancelled(run):
        raise CancelledRun(f"run {run.key} is cancelled; `producer enqueue` again goes on with it")


def _path(run: RunFolder) -> str:
    return run.file(f"cancelled-{run.record.generation}.json")

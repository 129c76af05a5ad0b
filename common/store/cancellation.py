"""Cancellation of a run, recorded in the store, because the counters may lose their keys.

The file's name carries the generation, so that a run that is overwritten is not cancelled. A
waiting run has no generation: its file is beside its plan, and keeps the run from being created.
"""

import json
import time
from collections.abc import Iterable

from common.store.filesystem import StoredFile
from common.store.runs import RunFolder
from common.store.waiting import is_planned


def cancel(run: RunFolder) -> None:
    """Record that nobody is to create the run or work on its rows.

    Raises as `RunFolder.check_stands`.
    """
    content = json.dumps({"since": time.time()}).encode()
    if not run.exists() and is_planned(run):
        run.store.write_bytes(_while_waiting(run), content)
        if not run.exists():  # Nor was it created meanwhile.
            return
    with run.write(_path(run)) as sink:
        sink.write(content)


def resume(run: RunFolder) -> None:
    """Forget the cancellation of a run, if any."""
    for path in {_path(run), _while_waiting(run)}:
        if run.store.exists(path):
            run.store.delete(path)


def keep_cancelled(run: RunFolder) -> None:
    """Cancel a run that was created while somebody cancelled the waiting run."""
    if run.store.exists(_while_waiting(run)):
        cancel(run)


def is_cancelled(run: RunFolder) -> bool:
    return run.store.exists(_path(run))


def cancelled_since(run: RunFolder, files: Iterable[StoredFile] | None = None) -> float | None:
    """Return when the run was cancelled, in seconds since the epoch, or None if it is not.

    0 for a cancelled run whose file does not tell when. files: a listing of the run's files, if
    the caller has listed them already.
    """
    if not (is_cancelled(run) if files is None else _path(run) in {file.path for file in files}):
        return None
    try:
        return float(json.loads(run.store.read_bytes(_path(run)))["since"])
    except (ValueError, TypeError, KeyError, FileNotFoundError):
        return 0.0


def _path(run: RunFolder) -> str:
    try:
        return run.file(f"cancelled-{run.record.generation}.json")
    except FileNotFoundError:
        return _while_waiting(run)


def _while_waiting(run: RunFolder) -> str:
    return f"{run.plans}/cancelled.json"

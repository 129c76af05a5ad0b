"""The merge process: `python -m worker.merge_process RUN...` merges runs, one process at a time.

Its turn is the lock of a file in the host's temporary folder, named after the store and the user:
one merge at a time leaves the processors to those that feed the GPUs. Another store has another
file, as one that does not answer must not hold up the rest. The system frees the lock however the
process ends. Until its turn it has loaded no more than the settings.

It ends with the process that started it, whose end closes its standard input: a worker that is
told to end waits for its merges, and one that is killed takes them along. A merged file appears
whole or never, so nothing is left but a run that is complete and not merged.
"""

import fcntl
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.settings import Settings
from worker.host import end_with, log_to_stderr, step_back

logger = logging.getLogger(__name__)


def main(keys: Sequence[str]) -> int:
    """Merge runs when it is this process's turn; returns the status to end with."""
    step_back()
    log_to_stderr("merge")
    end_with(sys.stdin.fileno())
    settings = Settings.from_environment()
    with turn(lock_path(settings.store)):
        return 0 if finish_all(settings, keys) else 1


def finish_all(settings: Settings, keys: Sequence[str]) -> bool:
    """Merge the runs one after the other; returns whether each has come to an end."""
    # Not above: many may wait for their turn, and pyarrow and Celery take 100 MB.
    from common.run_counters import RunCounters
    from common.shard_sender import shard_sender
    from common.store import StoreFilesystem
    from worker.merging import Merger

    store = StoreFilesystem.open(settings.store)
    counters = RunCounters.connect(settings.broker, settings.namespace)
    with shard_sender(settings) as send:
        merger = Merger(store, counters, send)
        ended = [merger.finish(key) for key in keys]
    return all(ended)


def lock_path(store: str) -> Path:
    """Path of the file whose lock is the turn to merge in this store, for this user and host."""
    name = store if "://" in store else os.path.realpath(os.path.expanduser(store))
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"self-ensemble-merge-{os.getuid()}-{digest}.lock"


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the lock of a file, and hold the lock. Where none can be made there is no wait."""
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        logger.warning("merging without waiting for others, as there is no lock: %s", error)
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

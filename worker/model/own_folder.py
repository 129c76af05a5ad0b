"""Own folders: what a process keeps across restarts and shares with no other while it lives.

The backend frees a lock however its process ends, and what was being written when it ended is
thrown away. Knows nothing of what is kept.
"""

import fcntl
import itertools
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnFolder:
    """A folder that no other process writes to while this object lives."""

    path: Path
    lock: IO[str]

    @property
    def unfinished(self) -> Path:
        """A file that is there while something is written.

        Beside the folder, as its lock is: emptying the folder must free neither.
        """
        return self.path.with_suffix(".unfinished")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """If what is in it fails, or the process ends there, the next one begins anew."""
        self.unfinished.touch()
        yield
        self.unfinished.unlink(missing_ok=True)


def own_folder(root: Path, slot: int) -> OwnFolder:
    """The first folder `slot-N` under root, from N = slot on, whose lock is free."""
    root.mkdir(parents=True, exist_ok=True)
    own = next(own for n in itertools.count(slot) if (own := _locked(root / f"slot-{n}")))
    if own.unfinished.exists():
        logger.warning("%s was left half written, so it is emptied", own.path)
        shutil.rmtree(own.path, ignore_errors=True)
        own.unfinished.unlink()
    own.path.mkdir(exist_ok=True)
    return own


def _locked(path: Path) -> OwnFolder | None:
    lock = path.with_suffix(".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return OwnFolder(path, lock)

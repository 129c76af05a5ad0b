"""Own folders: a folder that a process keeps across restarts and shares with no other process.

The operating system frees the lock however the process ends. A folder that was being written
then is emptied at the next start. Knows nothing of the folder's content.
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
    """A folder that no other process claims while this object holds its lock."""

    path: Path
    lock: IO[str]

    @property
    def unfinished(self) -> Path:
        """A file that exists while the folder is being written.

        It lies beside the folder, as the lock does: emptying the folder must remove neither.
        """
        return self.path.with_suffix(".unfinished")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Mark the folder as unfinished in this block. If the block fails or the process dies, the
        next start empties the folder.
        """
        self.unfinished.touch()
        yield
        self.unfinished.unlink(missing_ok=True)


def own_folder(root: Path, slot: int) -> OwnFolder:
    """Claim the first folder `slot-N` under root, from N = slot on, whose lock is free.

    Raises OSError if it cannot be made.
    """
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

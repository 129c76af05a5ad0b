"""The compile cache: a folder of its own for each process, kept across restarts.

Processes that share torch's own cache read what another is still writing (pytorch pull request
172144), and a file that was cut off by a kill is taken for whole ever after. So each process
holds the lock of one folder while it lives, which the kernel frees however it ends, and what
was being compiled when a process ended is thrown away.
"""

import fcntl
import itertools
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from platformdirs import user_cache_path
from torch._inductor import config as inductor

logger = logging.getLogger(__name__)

INDUCTOR, TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
_HEADERS = "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"


@dataclass(frozen=True)
class OwnFolder:
    """A folder that no other process writes to while this object lives.

    unfinished: a file that is there while something is compiled. Like the lock it lies beside
    the folder, so that emptying the folder frees neither.
    """

    path: Path
    lock: IO[str]

    @property
    def unfinished(self) -> Path:
        return self.path.with_suffix(".unfinished")


_own: OwnFolder | None = None


def use_own_cache(slot: int) -> None:
    """Have torch compile into a folder of this process's own, unless the environment names one.

    torch reads the variables when it first compiles, so this comes before that. slot: number of
    this process on its host; the next free one is taken where another program holds it.
    """
    global _own
    if set_outside := os.environ.get(INDUCTOR):
        logger.info("compiled code is kept in %s, as %s says", set_outside, INDUCTOR)
        return
    try:
        _own = own_folder(user_cache_path("self-ensemble") / "compiled" / machine_key(), slot)
        path = _own.path
    except OSError as error:
        path = Path(tempfile.mkdtemp(prefix="self-ensemble-compiled-"))
        logger.warning("compiled code is not kept for the next start: %s", error)
    os.environ[INDUCTOR] = str(path)
    os.environ.setdefault(TRITON, str(path / "triton"))
    if _HEADERS not in os.environ:
        # These would lie in one folder for all processes of a user, whatever the cache.
        inductor.cpp_cache_precompile_headers = False
    logger.info("compiled code is kept in %s", path)


@contextmanager
def compiling() -> Iterator[None]:
    """Around what compiles: if it fails or the process ends in it, the next start begins anew."""
    if _own:
        _own.unfinished.touch()
    yield
    if _own:
        _own.unfinished.unlink(missing_ok=True)


def own_folder(root: Path, slot: int) -> OwnFolder:
    """The first folder `slot-N` under root, from N = slot on, whose lock is free."""
    root.mkdir(parents=True, exist_ok=True)
    own = next(own for n in itertools.count(slot) if (own := _locked(root / f"slot-{n}")))
    if own.unfinished.exists():
        logger.warning("%s was left while compiling, so it is emptied", own.path)
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


def machine_key() -> str:
    """What compiled code depends on, as the name of a folder: versions and processors."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no-gpu"
    processor = torch.backends.cpu.get_cpu_capability()
    parts = (f"torch{torch.__version__}", f"python{platform.python_version()}", processor, gpu)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join(parts))

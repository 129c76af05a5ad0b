"""The compile cache: a folder of its own for each process, kept across restarts.

Processes that share torch's own cache read what another is still writing (pytorch pull request
172144), and a library that a kill cut off is taken for whole ever after: torch compiles only
what is not there.
"""

import logging
import os
import platform
import re
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from platformdirs import user_cache_path

from worker.model.own_folder import OwnFolder, own_folder

logger = logging.getLogger(__name__)

INDUCTOR, TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
HEADERS = "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"

_own: OwnFolder | None = None


def use_own_cache(slot: int) -> None:
    """Have torch compile into a folder of this process's own, unless the environment names one.

    Comes before `torch._dynamo` is imported, which reads the variables and sets the first.
    slot: number of this process on its host; the next free one is taken where another program
    holds it.
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
    # These would lie in one folder for all processes of a user, whatever the cache.
    os.environ.setdefault(HEADERS, "0")
    logger.info("compiled code is kept in %s", path)


def compiling() -> AbstractContextManager[None]:
    """Around what compiles: if it fails or the process ends in it, the next start begins anew."""
    from torch._inductor import config

    # torch 2.11 does not read the variable.
    config.cpp_cache_precompile_headers = os.environ.get(HEADERS, "1") == "1"
    return _own.writing() if _own else nullcontext()


def machine_key() -> str:
    """What compiled code depends on, as the name of a folder: versions, processors, threads.

    Code for a CPU holds the number of threads that it was compiled for: code of two threads took
    20 ms a call in a process with one, where its own takes 0.13 ms.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no-gpu"
    processor = torch.backends.cpu.get_cpu_capability()
    threads = f"threads{torch.get_num_threads()}"
    versions = f"torch{torch.__version__}", f"python{platform.python_version()}"
    parts = (*versions, processor, threads, gpu)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join(parts))

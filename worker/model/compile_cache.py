"""The compile cache: a folder of its own for each process, kept across restarts.

Processes that share torch's own cache read files that another is still writing (pytorch pull
request 172144), and torch takes a library that a kill cut off for whole ever after: it compiles
only what is missing.
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


def claim_cache(slot: int) -> dict[str, str]:
    """Claim a folder for this process's compiled code; returns the environment variables to set.

    They must be set before `torch._dynamo` is imported, which reads them and sets the first.
    Variables that the environment holds already are left out; where it names torch's folder,
    none is claimed.

    slot: number of this process on its host. Takes the next free folder where another program
    holds that slot.
    """
    global _own
    if folder := os.environ.get(INDUCTOR):
        logger.info("compiled code is kept in %s, as %s says", folder, INDUCTOR)
        return {}
    try:
        _own = own_folder(user_cache_path("self-ensemble") / "compiled" / machine_key(), slot)
        path = _own.path
    except OSError as error:
        path = Path(tempfile.mkdtemp(prefix="self-ensemble-compiled-"))
        logger.warning("compiled code is not kept for the next start: %s", error)
    logger.info("compiled code is kept in %s", path)
    # Headers would lie in one folder for all processes of a user, whatever the cache.
    defaults = {TRITON: str(path / "triton"), HEADERS: "0"}
    unset = {name: value for name, value in defaults.items() if name not in os.environ}
    return {INDUCTOR: str(path)} | unset


def precompiles_headers() -> bool:
    """Whether torch may precompile C++ headers, as the environment says."""
    return os.environ.get(HEADERS, "1") == "1"


def compiling() -> AbstractContextManager[None]:
    """Return a context for compilation. If the block fails or the process dies, the next start
    empties the folder.
    """
    return _own.writing() if _own else nullcontext()


def machine_key() -> str:
    """Name of a folder for what compiled code depends on: versions, processors, threads.

    Code for a CPU is compiled for a number of threads: code for two threads took 20 ms a call in
    a process with one thread, and code for one thread 0.13 ms.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no-gpu"
    processor = torch.backends.cpu.get_cpu_capability()
    threads = f"threads{torch.get_num_threads()}"
    versions = f"torch{torch.__version__}", f"python{platform.python_version()}"
    parts = (*versions, processor, threads, gpu)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join(parts))

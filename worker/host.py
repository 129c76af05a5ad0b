"""The host: its GPUs, and the settings of the whole process that must be made before torch loads.

Counts GPUs without importing torch, which only child processes do. Effects on the whole process
(environment variables, the C library's allocator, the end of the process) live here, and in
`worker.manager` those that need torch or a loaded model; nowhere else in this package.
"""

import ctypes
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from typing import NoReturn

_SPINS = "1000"
"""About ten microseconds; libgomp's own 300,000 are milliseconds. 100,000 are a twelfth faster on
an idle host, and four times slower beside a program that keeps a core busy (performance.md)."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _LARGEST_INT = -1, -3, 2**31 - 1


def default_processes() -> int:
    """Number of model processes: one per visible GPU, or one on a host without a GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return max(1, len([gpu for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]))
    return max(1, len(_list_gpus()))


def describe_device(device: str) -> str:
    """Return what a device setting means on this host, in words. Imports no torch.

    device: `cpu`, `cuda`, `cuda:N`, or `auto` for the GPUs of the host if there are any.
    """
    gpus = [] if device == "cpu" else _list_gpus()
    if not gpus:
        return "cpu" if device == "auto" else device
    names = ", ".join(f"{times} x {name}" for name, times in Counter(gpus).items())
    return f"{'cuda' if device == 'auto' else device} ({names})"


def _list_gpus() -> list[str]:
    """Names of the GPUs of this host."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--list-gpus"]
    listing = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return re.findall(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", listing.stdout, re.MULTILINE)


def let_threads_wait(processes: int) -> None:
    """Set how torch's threads wait in processes started from here, unless the environment does.

    Decoding is thousands of short parallel regions a second. GNU OpenMP's threads spin before
    they sleep: too long, and several processes on one host slow each other down; not at all, and
    every region waits for its threads to wake up.

    processes: how many compute side by side on this host.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    if processes == 1:
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    else:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def set_variables(variables: Mapping[str, str]) -> None:
    """Set environment variables, for this process and the processes that it starts."""
    os.environ.update(variables)


def keep_freed_memory() -> None:
    """Have this process keep the memory it frees, for as long as it lives; glibc only.

    By default the C library gives large blocks back at once, and every activation of a prefill
    is faulted in page by page again: a sixth of the time of a decode that forks rows.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(option, _LARGEST_INT)


def step_back() -> None:
    """Lower the priority of this process: it has time, and others feed a GPU."""
    os.nice(10)


def log_to_stderr(name: str) -> None:
    """Log from INFO on to standard error, as Celery does for its own processes.

    name: what this process is, in each line.
    """
    line = f"[%(asctime)s: %(levelname)s/{name}] %(message)s"
    logging.basicConfig(level=logging.INFO, format=line)


def end_with(pipe: int) -> None:
    """Have this process end when a pipe is closed, as it is when the process behind it ends.

    It ends by SystemExit, also at SIGTERM, so that files half written are deleted.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_at_end_of, args=(pipe,), daemon=True).start()


def _end_at_end_of(pipe: int) -> None:
    while os.read(pipe, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def end_process(status: int) -> NoReturn:
    """End this process at once: nothing is cleaned up, only the log is flushed.

    Not by an exception: code on its way out would use the device, and the process would count
    as one that can go on.
    """
    logging.shutdown()
    os._exit(status)

"""The machine a figure was measured on, and the versions of what ran there.

Imports nothing heavy: the queue is measured without torch.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

VERSIONS = ("torch", "transformers", "celery", "redis", "pyarrow", "self-ensemble")


def describe() -> dict[str, Any]:
    """Processor, memory and versions, as JSON-able data."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        "cores": _cores(),
        "bfloat16 instructions": "bf16" in (_field("/proc/cpuinfo", "flags") or ""),
        "memory GiB": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in VERSIONS},
    }


def describe_torch() -> dict[str, Any]:
    """The same, and what torch says of its device."""
    import torch

    gpu = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {**describe(), "threads": torch.get_num_threads(), **gpu}


def _cores() -> int | None:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _field(path: str, name: str) -> str | None:
    """The first value of a field in a file of `name : value` lines."""
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, None)


def _memory_gib() -> float | None:
    total = _field("/proc/meminfo", "MemTotal")
    return round(int(total.split()[0]) / 2**20, 1) if total else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

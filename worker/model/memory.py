"""Free memory of a device, and the errors that say it ran out. Knows no budget.

A container or a batch system may grant less than the host has free; then that counts.
"""

import gc
import re
from pathlib import Path

import psutil
import torch

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")

_OUT_OF_MEMORY = re.compile(
    r"(\[enforce fail at \S+:\d+\] .{0,40}?)?"
    r"DefaultCPUAllocator: (can't allocate|not enough) memory"
    r"|CUDA (error: )?out of memory\b"
    r"|CUDA error: CUBLAS_STATUS_ALLOC_FAILED\b"
    r"|Triton Error \[CUDA\]: out of memory\b"
    r"|std::bad_alloc$"
)
"""How torch's messages begin where it has no class for the error. A message that holds such words
further on may quote a sample, or the error of another program."""


def free_memory(device: str) -> int:
    """Bytes that may still be allocated on a device: "cpu", "cuda" or "cuda:1"."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    return min([available, *granted_by_cgroups()])


def granted_by_cgroups(root: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> list[int]:
    """Bytes left under the limit of each control group that this process is in.

    Reads groups of version 2, and of version 1 under root/memory. Page cache that the operating
    system can reclaim counts as left. A group without a limit is not in the list.
    """
    granted = []
    for folder in _own_folders(root, own):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            granted.append(max(0, limit - used + _reclaimable(folder / "memory.stat")))
    return granted


def _own_folders(root: Path, own: Path) -> list[Path]:
    """Folders of this process's groups and their parents. In a container the root is its own."""
    folders = {root: None, root / "memory": None}
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            base = root / "memory" if controllers else root
            inner = Path(path.lstrip("/"))
            folders |= {base / part: None for part in (inner, *inner.parents)}
    return list(folders)


def _number(*paths: Path) -> int | None:
    """The number in the first file that exists; None if none exists or it says "max"."""
    text = next((text for text in map(_text, paths) if text), "").strip()
    return int(text) if text.isdigit() else None


def _reclaimable(stat: Path) -> int:
    fields = dict(line.split(maxsplit=1) for line in _text(stat).splitlines())
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def is_out_of_memory(error: object) -> bool:
    """Whether an exception means that memory ran out, on a GPU or on the host.

    torch has a class for it on CUDA only; its CPU allocator and cuBLAS raise RuntimeError itself,
    and kernels torch.AcceleratorError.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    from_torch = type(error) is RuntimeError or isinstance(error, torch.AcceleratorError)
    return from_torch and _OUT_OF_MEMORY.match(str(error)) is not None


def release(error: BaseException) -> None:
    """Free the memory that a failed computation still holds: its frames, cached CUDA blocks."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

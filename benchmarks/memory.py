"""Peak memory of processes, as the kernel keeps it; None where it keeps none (not Linux).

Not getrusage: that of a child counts its parent, out of which it was forked, and that of a
process never goes down again between two rows.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_POLL_SECONDS = 0.02


def peak_mib(pid: int | None = None) -> float | None:
    """The most MiB that a living process (this one for None) has had since the last reset."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return next((int(kib) / 1024 for kib in found), None)


def reset_peak() -> None:
    """Let this process's peak begin anew at what it holds now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def largest_child_peak(pid: int) -> float | None:
    """The peak of that process below `pid` which has had most."""
    peaks = [peak_mib(child.pid) or 0 for child in psutil.Process(pid).children(recursive=True)]
    return max(peaks, default=0) or None


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Look at a process until the block ends; the last number of the list is its peak, MiB.

    Again and again, since nothing is known of a process that has ended.
    """
    peaks: list[float] = []
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(_POLL_SECONDS):
            peaks.extend(filter(None, [peak_mib(pid)]))

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()

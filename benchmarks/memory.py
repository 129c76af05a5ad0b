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


class Watch:
    """The peaks of the processes below one, this one's children or those of `pid`; MiB by pid."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peaks: dict[int, float] = {}

    def look(self) -> None:
        """Note every process's peak so far."""
        with suppress(psutil.Error):
            root = psutil.Process(self._pid)
            for process in (root, *root.children(recursive=True)):
                self.peaks[process.pid] = max(
                    peak_mib(process.pid) or 0, self.peaks.get(process.pid, 0)
                )

    @property
    def largest(self) -> float | None:
        return max(self.peaks.values(), default=0) or None


@contextmanager
def watched(pid: int) -> Iterator[Watch]:
    """Look at a process and its children until the block ends."""
    watch, ended = Watch(pid), threading.Event()

    def keep_looking() -> None:
        while not ended.wait(_POLL_SECONDS):
            watch.look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()

"""Seconds and peak memory: medians of repeats, after a warm-up that is not counted.

Peaks are those that Linux keeps in /proc; elsewhere they are None. `getrusage` would not do: the
peak of a child includes its parent, from which it was forked, and the peak of a process never
falls between two rows.

Importing this module does not import torch, because the queue's benchmark runs without torch.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from common.records import Sample
from worker.engine.request import Request

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.engine.outputs import EngineOutput, SampleAnswers
    from worker.engine.stats import EngineStats

WARM_UP_SAMPLES = 64
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class RepeatLimit:
    """How often to repeat a measurement: `repeats` times, fewer once `seconds` are spent."""

    repeats: int = 3
    seconds: float = 10.0


ONCE = RepeatLimit(repeats=1)


@dataclass(frozen=True)
class Timed:
    """Seconds of the median repeat (of two the faster), its index, and the number of repeats."""

    seconds: float
    middle: int
    repeats: int


def repeated(measure: Callable[[], float], limit: RepeatLimit) -> Timed:
    """Call `measure`, which returns seconds, until the limit is reached.

    Long measurements are not repeated, since disturbances average out during one.
    """
    seconds: list[float] = []
    while not seconds or (len(seconds) < limit.repeats and sum(seconds) < limit.seconds):
        seconds.append(measure())
    return median_of(seconds)


def timed(work: Callable[[], object], limit: RepeatLimit) -> Timed:
    """Time `work`, which the caller has warmed up."""
    return repeated(lambda: seconds_of(work), limit)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_of(seconds: list[float]) -> Timed:
    """Return the median repeat.

    >>> median_of([3.0, 9.0, 2.0, 4.0])
    Timed(seconds=3.0, middle=0, repeats=4)
    """
    middle = sorted(range(len(seconds)), key=seconds.__getitem__)[(len(seconds) - 1) // 2]
    return Timed(seconds[middle], middle, len(seconds))


@dataclass(frozen=True)
class TimedAnswers:
    """Answers of an engine and the work done, both of the median repeat, and the time."""

    time: Timed
    answers: "list[SampleAnswers]"
    stats: "EngineStats"

    @property
    def seconds(self) -> float:
        return self.time.seconds

    def tokens(self, method: str) -> list[list[tuple[int, ...]]]:
        """Tokens of each answer, sample by sample."""
        return [[answer.tokens for answer in each.all(method)] for each in self.answers]


def time_answers(
    engine: "Engine",
    samples: Sequence[Sample],
    request: Request,
    limit: RepeatLimit,
    warm_up: int = WARM_UP_SAMPLES,
) -> TimedAnswers:
    """Answer all samples repeatedly, after answering the first `warm_up` of them once.

    Raises SampleError if a sample is not answered: its row would look too fast.
    """
    _raise_errors(engine.run(samples[:warm_up], request))
    outputs: list[EngineOutput] = []
    elapsed = timed(lambda: outputs.append(engine.run(samples, request)), limit)
    output = outputs[elapsed.middle]
    _raise_errors(output)
    return TimedAnswers(elapsed, output.answers, output.stats)


def _raise_errors(output: "EngineOutput") -> None:
    for error in (error for each in output.answers for error in each.errors.values()):
        raise error


def peak_mib(pid: int | None = None) -> float | None:
    """Peak memory in MiB of a living process (this one for None) since the last reset."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    peaks = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return next((int(kib) / 1024 for kib in peaks), None)


def reset_peak() -> None:
    """Restart the peak of this process at its current memory."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def largest_child_peak(pid: int) -> float | None:
    """Highest peak, in MiB, among the descendants of process `pid`."""
    peaks = [peak_mib(child.pid) or 0 for child in psutil.Process(pid).children(recursive=True)]
    return max(peaks, default=0) or None


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Poll the peak of a process during the block; the last number of the list is its peak, MiB.

    It polls because the system forgets the peak of a process that has ended.
    """
    peaks: list[float] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(_POLL_SECONDS):
            peaks.extend(filter(None, [peak_mib(pid)]))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()

"""Rows: each is measured under a soft limit and becomes a line, even if it fails."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.gpu_day.lines import Line
from benchmarks.gpu_day.stages.deadline import OutOfTime, deadline
from worker.sick_device import is_sick_device

Figures = dict[str, Any]
"""Name -> figure of a row; units are in the names."""

P = ParamSpec("P")
T = TypeVar("T")

_FRAMES = 6
_MESSAGE = 400


class Rows:
    """Measures rows one after the other. write: called with each line."""

    def __init__(self, write: Callable[[Line], None]) -> None:
        self._write = write

    def measure(
        self,
        name: str,
        limit: float,
        work: Callable[P, Figures],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Measure a row. limit: seconds; work that takes longer or fails leaves the reason.

        Raises SystemExit if the device takes no more work, because later rows would fail, too.
        """
        self._attempt(name, limit, lambda: (None, work(*args, **kwargs)))

    def build(
        self,
        name: str,
        limit: float,
        work: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | None:
        """Make something that later rows need, as a row of its own; return None if it fails."""
        return self._attempt(name, limit, lambda: (work(*args, **kwargs), {}))

    def skip(self, name: str, reason: str) -> None:
        """Write that a row is left out, and why."""
        self._write({"row": name, "skipped": reason})

    def _attempt(self, name: str, limit: float, work: Callable[[], tuple[T, Figures]]) -> T | None:
        self._write({"row": name, "event": "begin", "limit": limit})
        began = time.perf_counter()
        made: T | None = None
        line: Line = {}
        sick = False
        try:
            with deadline(limit):
                made, figures = work()
            line = {"figures": {key: _rounded(value) for key, value in figures.items()}}
        except OutOfTime:
            line = {"failed": f"not done after {limit:g} s"}
        except Exception as error:  # a compiler or driver, which may fail in any way
            line, sick = _described(error), is_sick_device(error)
        self._write({"row": name, "took": round(time.perf_counter() - began, 2), **line})
        if sick:
            raise SystemExit("the device takes no more work from this process")
        return made


def _described(error: Exception) -> Line:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "failed": f"{type(error).__name__}: {str(error)[:_MESSAGE]}",
        "where": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames],
    }


def _rounded(value: Any) -> Any:
    """Round floats to four significant digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value

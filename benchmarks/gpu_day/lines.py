"""Lines: the results of a GPU day, one JSON object for each row and each end of a stage.

A row's line has `stage`, `row`, `took` (seconds) and either `figures` (by name, units in the name)
or `failed` (the reason). A stage's line has `stage`, `event` ("done", "died", "killed" or "not
run") and, unless it is done, `reason`. `t` is seconds since the command began.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

Line = dict[str, Any]

NAME = "gpu_day.jsonl"


class LineWriter:
    """Appends lines to a file, each synced to the disk before `write` returns."""

    def __init__(self, path: Path) -> None:
        self._path, self._began = path, time.monotonic()

    def write(self, line: Line) -> Line:
        """Write a line; return it with its time."""
        timed = {"t": round(time.monotonic() - self._began, 1), **line}
        with self._path.open("a") as file:
            file.write(json.dumps(timed, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return timed


def read_lines(path: Path) -> list[Line]:
    """Read the lines of a file, without a last line that was cut off.

    Raises ValueError if the file holds something else; the message names the line.
    """
    rows = path.read_text().split("\n")
    lines = []
    for number, row in enumerate(rows, start=1):
        try:
            lines += [json.loads(row)] if row.strip() else []
        except ValueError:
            if number < len(rows):
                raise ValueError(f"line {number} of {path} is no JSON") from None
    if not all(isinstance(line, dict) and "stage" in line for line in lines):
        raise ValueError(f"{path} does not hold lines of a GPU day")
    return lines

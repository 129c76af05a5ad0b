"""The supervisor: starts each stage as a process group, keeps its lines, kills it at its limit.

A signal does not interrupt a hung kernel, and after an illegal address a CUDA context fails every
later call of its process. So each stage has a process that can be killed.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_day.lines import Line
from benchmarks.gpu_day.plan import Stage

_LEAST_SECONDS = 15.0
"""Least time that a stage is started with; with less it would be killed while it imports."""

_TO_EXIT_SECONDS = 5.0
_LAST_WORDS = 1500

Write = Callable[[Line], None]


class NoDevice(Exception):
    """The requested device is missing; the message is a sentence for the user."""


@dataclass(frozen=True)
class Supervisor:
    """Runs stages one after the other.

    write: called with every line. folder: for the logs. scratch: folder for files that one stage
    leaves for another. stretch: factor on the limits, for slow machines. module: program that runs
    a stage.
    """

    write: Write
    folder: Path
    scratch: Path
    device: str
    tiny: bool
    stretch: float = 1.0
    module: str = "benchmarks.gpu_day.stages"

    def run(self, stages: Sequence[Stage], seconds: float) -> None:
        """Run stages for at most `seconds`. Raises NoDevice if the device is missing."""
        ends = time.monotonic() + seconds
        for stage in stages:
            left = ends - time.monotonic()
            if left < _LEAST_SECONDS:
                reason = f"{left:.0f} of {seconds:.0f} s are left"
                self.write({"stage": stage.name, "event": "not run", "reason": reason})
            else:
                self._run(stage, min(stage.limit * self.stretch, left))

    def _run(self, stage: Stage, limit: float) -> None:
        started, log = time.monotonic(), self.folder / f"log_{stage.name}.txt"
        process, pipe = self._start(stage, log)
        row, event = None, "done"
        try:
            for line in lines_of(pipe, started + limit):
                if "no_device" in line:
                    raise NoDevice(line["no_device"])
                self.write({"stage": stage.name, **line})
                row = line["row"] if line.get("event") == "begin" else None
            event = "died" if _status(process) else "done"
        except TimeoutError:
            event = "killed"
        finally:
            kill_group(process)
            os.close(pipe)
        took = round(time.monotonic() - started, 1)
        ended: Line = {"stage": stage.name, "event": event, "took": took}
        if event != "done":
            ended["reason"] = _reason(process.returncode, event, limit)
            ended |= {"row": row} if row else {}
            ended["last words"] = log.read_text(errors="replace")[-_LAST_WORDS:]
        self.write(ended)

    def _start(self, stage: Stage, log: Path) -> tuple["subprocess.Popen[bytes]", int]:
        """Start a stage; return its process and the pipe from which to read its lines.

        Lines have a separate pipe, because libraries print to stdout, which goes to the log.
        """
        pipe, theirs = os.pipe()
        command = [
            sys.executable, "-u", "-m", self.module, stage.name, str(theirs),
            "--device", self.device, "--scratch", str(self.scratch),
            *(["--tiny"] if self.tiny else []),
        ]  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=(theirs,), start_new_session=True,
            )  # fmt: skip
        os.close(theirs)
        return process, pipe


def _status(process: "subprocess.Popen[bytes]") -> int:
    """Exit status of a process after its last line; 0 if a compiler's helpers keep it alive."""
    try:
        return process.wait(_TO_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return 0


def _reason(status: int, event: str, limit: float) -> str:
    if event == "killed":
        return f"killed after {limit:.0f} s"
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def lines_of(pipe: int, ends: float) -> Iterator[Line]:
    """Yield the lines from a pipe until it is closed.

    Raises TimeoutError when time.monotonic() reaches `ends`.
    """
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := ends - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            data = os.read(pipe, 1 << 16)
            if not data:
                return
            *whole, rest = (rest + data).split(b"\n")
            yield from map(json.loads, whole)
    raise TimeoutError


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its children; compilers of a dead stage would slow the next one."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def join_logs(folder: Path) -> None:
    """Join the stages' logs into one file, because a lent machine returns few files."""
    logs = sorted(folder.glob("log_*.txt"))
    texts = (f"==== {log.stem}\n{log.read_text(errors='replace')[-200_000:]}\n" for log in logs)
    (folder / "logs.txt").write_text("".join(texts))
    for log in logs:
        log.unlink()

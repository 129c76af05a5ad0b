"""Processes that share a store. One of them runs at a time, until it ends, waits or is killed.

A process is a thread. Before each of its file operations it looks whether its fault is due, so a
test decides between which two operations it is killed, fails once, or waits while others go on.
A killed process does nothing any more: what it would clean up stays.
"""

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

_here = threading.local()


class Killed(BaseException):
    """The process is dead; every file operation that it still tries raises this."""


@dataclass
class Fault:
    """What happens before the operation number `left`, counted from 1.

    A kill counts operations that change files alone: between two that read, nothing is lost. No
    process waits before it reads a record: Python 3.11 computes cached properties under one lock.
    """

    kind: Literal["kill", "fail", "pause"]
    left: int

    def is_due(self, changes: bool, path: str) -> bool:
        counts = changes or self.kind == "fail"
        if self.kind == "pause" and not path.endswith("run.json"):
            counts = True
        self.left -= counts
        return counts and self.left == 0


class Process:
    """Runs `work` with at most one fault. error: what ended it, if it did not end well."""

    def __init__(self, work: Callable[[], Any], fault: Fault | None = None) -> None:
        self.error: BaseException | None = None
        self.value: Any = None
        self.struck = False
        self._work, self._fault = work, fault
        self._dead = self._done = self._paused = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def was_killed(self) -> bool:
        return self._dead

    def start(self) -> "Process":
        """Run until the process ends or is paused."""
        self._thread.start()
        self._await()
        return self

    def go_on(self, fault: Fault | None = None) -> None:
        """Run on after a pause, with another fault."""
        with self._changed:
            self._fault, self._paused = fault, False
            self._changed.notify_all()
        self._await()

    def kill(self) -> None:
        """End a paused process where it is."""
        self._dead = True
        self.go_on()

    def _await(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._done or self._paused, 60), (
                "a process hangs"
            )
        if self._done:
            self._thread.join()

    def _run(self) -> None:
        _here.process = self
        try:
            self.value = self._work()
        except BaseException as error:
            self.error = error
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def before(self, changes: bool, path: str) -> None:
        """Meet the fault, if it is due before this operation."""
        if self._dead:
            raise Killed
        if self._fault is None or not self._fault.is_due(changes, path):
            return
        self.struck = True
        if self._fault.kind == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if self._fault.kind == "pause":
            self._pause()
        else:
            self._dead = True
        if self._dead:
            raise Killed

    def _pause(self) -> None:
        with self._changed:
            self._paused = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._paused)


def is_killed() -> bool:
    """Whether the process that calls this is dead."""
    process: Process | None = getattr(_here, "process", None)
    return process is not None and process.was_killed


def before_operation(path: str, changes: bool = True) -> None:
    """Called before each file operation; threads that read for a process pass."""
    process: Process | None = getattr(_here, "process", None)
    if process is not None:
        process.before(changes, path)

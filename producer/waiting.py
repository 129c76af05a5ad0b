"""Waiting for runs: a progress bar, sending again what got lost, merging at the end."""

import time
from collections.abc import Callable, Sequence

import redis
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from common.broker import all_queues
from common.errors import StopRun, UsageError
from common.run_counters import RunCounters
from common.store import PartInfo, RunFolder, merge_run, read_progress
from common.store.verify import holds

POLL_SECONDS = 0.5
IDLE_SECONDS = 15.0
MAX_RESENDS = 3
AWAY_SECONDS = 120.0


class Waiter:
    """Watches runs until each is complete and merged; those that follow others may not exist yet.

    resend: puts what is missing on the queue again; used when the queue is empty and rows are
    still missing, as after a lost broker. alive: raises when the workers we started are gone.
    """

    def __init__(
        self,
        runs: Sequence[RunFolder],
        counters: RunCounters,
        console: Console,
        resend: Callable[[], None],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._runs = runs
        self._counters = counters
        self._console = console
        self._resend = resend
        self._alive = alive
        self._known: dict[str, dict[str, PartInfo]] = {str(run.key): {} for run in runs}
        self._idle_since = time.monotonic()
        self._resends = 0
        self._answered = time.monotonic()
        self._said: set[str] = set()

    def wait(self) -> None:
        """Return when every run is merged; raises StopRun or UsageError when that cannot be."""
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self._console) as bars:
            tasks = {
                str(run.key): bars.add_task(str(run.key), total=None, note="")
                for run in self._runs
            }
            while not self._finished(bars, tasks):
                self._alive()
                self._ask_counters()
                time.sleep(POLL_SECONDS)
        for run in self._runs:
            finish(run)

    def _finished(self, bars: Progress, tasks: dict[str, TaskID]) -> bool:
        missing = 0
        for run in self._runs:
            if not run.exists():
                bars.update(tasks[str(run.key)], note="waiting")
                missing += 1
                continue
            progress = read_progress(run, self._known[str(run.key)])
            note = f"{progress.failed} failed" if progress.failed else ""
            done = progress.ok + progress.failed
            bars.update(tasks[str(run.key)], total=progress.expected, completed=done, note=note)
            missing += progress.missing
        return missing == 0

    def _ask_counters(self) -> None:
        """A broker that is away may come back; the store loses nothing meanwhile."""
        try:
            self._raise_if_stopped()
            self._say_delays()
            self._send_what_got_lost()
            self._answered = time.monotonic()
        except redis.RedisError as error:
            if time.monotonic() - self._answered > AWAY_SECONDS:
                raise UsageError(
                    f"the broker has been away for {AWAY_SECONDS:g} s ({error}); what is done is "
                    "kept, enqueue again when it is back"
                ) from None

    def _raise_if_stopped(self) -> None:
        for run in self._runs:
            if reason := self._counters.stop_reason(str(run.key)):
                raise StopRun(reason)

    def _say_delays(self) -> None:
        """A store that does not answer is tried again for a while, which nobody would see."""
        for run in self._runs:
            reason = self._counters.delayed(str(run.key))
            if reason and reason not in self._said:
                self._said.add(reason)
                text = f"{run.key} waits, and is tried again: {reason}"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _send_what_got_lost(self) -> None:
        """A message can be lost with its broker; nothing queued and rows missing says so."""
        now = time.monotonic()
        if self._counters.queue_length(all_queues()):
            self._idle_since = now
        if now - self._idle_since < IDLE_SECONDS:
            return
        if self._resends == MAX_RESENDS:
            raise UsageError(
                f"rows are missing and the queue is empty, {MAX_RESENDS} times over; "
                "the workers' logs say why, `producer status` what is missing"
            )
        self._resends += 1
        self._idle_since = now
        self._console.print("the queue is empty and rows are missing: sending them again")
        self._resend()


def finish(run: RunFolder) -> None:
    """Merge a complete run, unless a worker has done it and the file holds."""
    if not holds(run):
        merge_run(run, anew=True)

"""Wait for runs with a progress bar, resend lost messages, and merge at the end."""

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

from common.errors import OverwrittenRun, StopRun, UsageError
from common.run_counters import RunCounters
from common.store import RunFolder, merge_run, read_progress
from common.store.verify import holds

POLL_SECONDS = 0.5
IDLE_SECONDS = 4.0
"""Between two looks for rows that were lost; they are read from the store and the broker."""

MAX_RESENDS = 3
AWAY_SECONDS = 120.0


class Waiter:
    """Watches runs until each is complete and merged. Dependent runs may not exist yet.

    resend: sends again the rows that were lost, as with a broker, and returns how many; it is
    called every IDLE_SECONDS. check_worker: raises if the worker that this process started has
    ended.
    """

    def __init__(
        self,
        runs: Sequence[RunFolder],
        counters: RunCounters,
        console: Console,
        resend: Callable[[], int],
        check_worker: Callable[[], None] = lambda: None,
    ) -> None:
        self._runs = runs
        self._counters = counters
        self._console = console
        self._resend = resend
        self._check_worker = check_worker
        self._looked = time.monotonic()
        self._resends = 0
        self._broker_answered = time.monotonic()
        self._reported: set[str] = set()

    def wait(self) -> None:
        """Return when every run is merged.

        Raises StopRun for a run that a worker stopped, OverwrittenRun for one that another spec
        has overwritten, and UsageError if the broker stays away or rows are missing after several
        resends.
        """
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self._console) as bars:
            tasks = {
                str(run.key): bars.add_task(str(run.key), total=None, note="")
                for run in self._runs
            }
            while self._update(bars, tasks):
                self._check_worker()
                self._check_broker()
                time.sleep(POLL_SECONDS)
        for run in self._runs:
            merge_unless_merged(run)

    def _update(self, bars: Progress, tasks: dict[str, TaskID]) -> int:
        """Refresh the bars; return how many rows, and runs that do not exist yet, are missing."""
        missing = 0
        self._runs = [_as_it_is_now(run) for run in self._runs]
        for run in self._runs:
            if not run.exists():
                bars.update(tasks[str(run.key)], note="waiting")
                missing += 1
                continue
            progress = read_progress(run)
            note = f"{progress.failed} failed" if progress.failed else ""
            done = progress.ok + progress.failed
            bars.update(tasks[str(run.key)], total=progress.expected, completed=done, note=note)
            missing += progress.missing
        return missing

    def _check_broker(self) -> None:
        """Read the run counters. A broker may be away for a while: the store loses nothing."""
        try:
            self._raise_if_stopped()
            self._print_delays()
            self._resend_if_lost()
            self._broker_answered = time.monotonic()
        except redis.RedisError as error:
            if time.monotonic() - self._broker_answered > AWAY_SECONDS:
                raise UsageError(
                    f"the broker has been away for {AWAY_SECONDS:g} s ({error}); what is done is "
                    "kept, enqueue again when it is back"
                ) from None

    def _raise_if_stopped(self) -> None:
        for run in self._runs:
            if reason := self._counters.stop_reason(str(run.key)):
                raise StopRun(reason)

    def _print_delays(self) -> None:
        """Print once why workers wait, as for a store that does not answer: no bar shows it."""
        for run in self._runs:
            reason = self._counters.delayed(str(run.key))
            if reason and reason not in self._reported:
                self._reported.add(reason)
                text = f"{run.key} waits, and is tried again: {reason}"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _resend_if_lost(self) -> None:
        """Look for lost rows now and then; raises UsageError after MAX_RESENDS times."""
        now = time.monotonic()
        if now - self._looked < IDLE_SECONDS:
            return
        self._looked = now
        if not (rows := self._resend()):
            return
        self._resends += 1
        if self._resends > MAX_RESENDS:
            raise UsageError(
                f"rows are missing and the queue is empty, {self._resends} times over; "
                "the workers' logs say why, `producer status` what is missing"
            )
        self._console.print(f"{rows} rows were lost: sending them again")


def _as_it_is_now(run: RunFolder) -> RunFolder:
    """Return the run, or the one of the same spec that has taken its place.

    Raises OverwrittenRun for one of another spec, whose result is not what was asked for.
    """
    if not run.is_overwritten():
        return run
    anew = RunFolder(run.store, run.key)
    if anew.record.fingerprint != run.record.fingerprint:
        raise OverwrittenRun(
            f"run {run.key} was overwritten with another spec while it was waited for; "
            "`producer status` shows the one that is there now"
        )
    return anew


def merge_unless_merged(run: RunFolder) -> None:
    """Merge a complete run, unless a worker has merged it and the file can be verified."""
    if not holds(run):
        merge_run(run, anew=True)

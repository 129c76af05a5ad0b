"""Wait for runs with a progress bar, resend lost messages, and merge at the end."""

import time
from collections.abc import Callable, Iterable, Sequence

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from common.errors import OverwrittenRun, UsageError
from common.run_counters import RunCounters
from common.run_state import RunState, state_of, waiting_state
from common.store import RunFolder, merge_run
from common.store.verify import holds
from common.store.waiting import is_planned
from producer.listeners import Listeners
from producer.listing import Activities
from producer.pace import Pace, shown_seconds

POLL_SECONDS = 0.5
IDLE_SECONDS = 4.0
"""Between two looks for rows that were lost; they are read from the store and the broker."""

MAX_RESENDS = 3
AWAY_SECONDS = 120.0


class Waiter:
    """Watches runs until each is complete and merged. Dependent runs may not exist yet.

    resend: sends again the rows that were lost, as with a broker, and returns how many; it is
    called every IDLE_SECONDS. check_worker: raises if the worker that this process started has
    ended. upstream: a run that is not waited for and that they depend on.
    """

    def __init__(
        self,
        runs: Sequence[RunFolder],
        counters: RunCounters,
        console: Console,
        resend: Callable[[], int],
        check_worker: Callable[[], None] = lambda: None,
        listeners: Listeners | None = None,
        upstream: RunFolder | None = None,
    ) -> None:
        self._runs = runs
        self._counters = counters
        self._console = console
        self._resend = resend
        self._check_worker = check_worker
        self._listeners = listeners or Listeners(counters)
        self._upstream = upstream
        self._paces: dict[str, Pace] = {str(run.key): Pace() for run in runs}
        self._last_sentence: str | None = None
        self._unreached: redis.RedisError | None = None
        self._looked = time.monotonic()
        self._resends = 0
        self._broker_answered = time.monotonic()
        self._reported: set[str] = set()

    def wait(self) -> None:
        """Return when every run is merged.

        Raises StopRun for a run that a worker stopped, CancelledRun for one that a person
        cancelled, OverwrittenRun for one that another spec has overwritten, and UsageError if the
        broker stays away or rows are missing after several resends.
        """
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TextColumn("{task.fields[left]}"),
        )  # fmt: skip
        with Progress(*columns, console=self._console) as bars:
            tasks = {
                str(run.key): bars.add_task(str(run.key), total=None, note="", left="-")
                for run in self._runs
            }
            while not _is_all_answered(states := self._look()):
                for state in states:
                    self._show(state, bars, tasks[state.key])
                for state in states:
                    state.check_goes_on()
                self._check_worker()
                self._check_broker(states)
                time.sleep(POLL_SECONDS)
            for state in states:
                self._show(state, bars, tasks[state.key])
        for state in states:
            if state.name == "cancelled":
                state.check_goes_on()
        for run in self._runs:
            merge_unless_merged(run)

    def _look(self) -> list[RunState]:
        """Read the state of each run."""
        self._runs = [_as_it_is_now(run) for run in self._runs]
        activities = Activities.read(self._counters, [str(run.key) for run in self._runs])
        self._unreached = activities.error
        return [self._state(run, activities) for run in self._runs]

    def _state(self, run: RunFolder, activities: Activities) -> RunState:
        key = str(run.key)
        if not run.exists() and not is_planned(run):
            return waiting_state(key, "another run", activities.of(key))  # It is being replaced.
        return state_of(run, activities.of(key))

    def _show(self, state: RunState, bars: Progress, bar: TaskID) -> None:
        """Move a bar to the samples that are answered, those of shards at work included."""
        if state.progress is None:
            bars.update(bar, note=state.name)
            return
        expected, answered = state.progress.expected, state.answered
        pace = self._paces[state.key]
        pace.note(answered, state.is_at_work)
        left = shown_seconds(pace.seconds_left(expected - answered))
        note = f"{state.progress.failed} failed" if state.progress.failed else ""
        bars.update(bar, total=expected, completed=answered, note=note, left=left)

    def _check_broker(self, states: Sequence[RunState]) -> None:
        """Read the run counters. A broker may be away for a while: the store loses nothing."""
        try:
            if self._unreached:
                raise self._unreached
            self._check_upstream()
            self._print_reasons(states)
            self._resend_if_lost()
            self._broker_answered = time.monotonic()
        except redis.RedisError as error:
            if time.monotonic() - self._broker_answered > AWAY_SECONDS:
                raise UsageError(
                    f"the broker has been away for {AWAY_SECONDS:g} s ({error}); what is done is "
                    "kept, enqueue again when it is back"
                ) from None

    def _check_upstream(self) -> None:
        """Raise if the run that others wait for has ended. Raises redis.RedisError."""
        if self._upstream is not None and self._upstream.exists():
            (activity,) = self._counters.activity([str(self._upstream.key)])
            state_of(self._upstream, activity).check_goes_on()

    def _print_reasons(self, states: Sequence[RunState]) -> None:
        """Print why workers wait, once, and why nobody works, whenever that changes."""
        for state in states:
            reason = state.activity.delay if state.activity else None
            if reason and reason not in self._reported:
                self._reported.add(reason)
                self._print(state.sentence() or reason)
        sentence = self._listeners.sentence(states)
        if sentence and sentence != self._last_sentence:
            self._print(sentence)
        self._last_sentence = sentence

    def _print(self, text: str) -> None:
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


def _is_all_answered(states: Iterable[RunState]) -> bool:
    return all(state.progress is not None and not state.progress.missing for state in states)


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

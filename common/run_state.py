"""The one state of a run, from what the store holds and from what workers report.

    waiting     for the run that it depends on; it has no samples yet
    queued      no sample is answered yet
    running     some samples are answered, or are being answered now
    stopped     no shard of it can succeed until a person acts
    cancelled   by a person; enqueueing it goes on
    complete    every row is there, and is to be merged
    merged      its merged file is there
    damaged     a file of it cannot be read

Without the broker a stop is not known, nor what is being answered: the state is the store's then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from common.errors import CancelledRun, StopRun
from common.planning.dependents import read_plan
from common.run_activity import RunActivity, Stop
from common.store.cancellation import cancelled_since
from common.store.filesystem import StoredFile
from common.store.progress import Progress, read_progress
from common.store.run_listing import is_created
from common.store.runs import RunFolder
from common.store.waiting import upstream_of

StateName = Literal[
    "waiting", "queued", "running", "stopped", "cancelled", "complete", "merged", "damaged"
]
UNKNOWN_ACTIVITY = (
    "the broker does not answer, so stops and what is being answered are not known now; "
    "the states are those of the store"
)


@dataclass(frozen=True)
class RunState:
    """The state of a run, and its reasons.

    progress: None for a run that waits or is damaged. activity: None if the broker is away.
    cancelled: seconds since the epoch. after: key of the run that this one waits for.
    error: what is damaged.
    """

    key: str
    name: StateName
    progress: Progress | None = None
    activity: RunActivity | None = None
    cancelled: float | None = None
    after: str | None = None
    error: str | None = None

    @property
    def stop(self) -> Stop | None:
        return self.activity.stop if self.activity else None

    @property
    def answering(self) -> int:
        """Samples that are answered in shards at work: no part holds them yet."""
        if self.progress is None or self.activity is None:
            return 0
        return min(sum(self.activity.answered.values()), self.progress.missing)

    @property
    def answered(self) -> int:
        """Samples that are answered, those of shards at work included."""
        return self.progress.ok + self.progress.failed + self.answering if self.progress else 0

    @property
    def is_at_work(self) -> bool:
        """Whether a worker has a shard of the run."""
        return bool(self.activity and self.activity.answered)

    @property
    def ends_waiting(self) -> bool:
        """Whether the run stays as it is until a person acts."""
        return self.name in ("stopped", "cancelled", "merged", "damaged")

    def check_goes_on(self) -> None:
        """Raise CancelledRun or StopRun for a run that only a person can have go on."""
        if self.name == "cancelled":
            raise CancelledRun(self.sentence() or "")
        if self.stop is not None:
            raise StopRun(self.sentence() or "")

    def sentence(self) -> str | None:
        """Say why the run does not go on, and what to do; None if nothing needs to be said."""
        if self.name == "damaged":
            return f"{self.key} is damaged: {self.error}"
        if self.name == "cancelled":
            return (
                f"{self.key} was cancelled{_when(self.cancelled)}; `producer enqueue` again goes "
                "on with it"
            )
        if self.stop is not None:
            return (
                f"{self.key} was stopped{_when(self.stop.since)} by worker {self.stop.worker}: "
                f"{self.stop.reason}; once that is mended, `producer enqueue` again goes on"
            )
        if self.name == "waiting":
            return f"{self.key} waits for {self.after}"
        delay = self.activity.delay if self.activity and self.name != "merged" else None
        return f"{self.key} waits, and is tried again: {delay}" if delay else None


def state_of(
    run: RunFolder, activity: RunActivity | None, files: Sequence[StoredFile] | None = None
) -> RunState:
    """Read the state of a run, created or waiting, from one listing of its files.

    activity: None if the broker does not answer. files: the listing, if it is there already.
    Raises UsageError if a file of the run is damaged.
    """
    files = run.list_files() if files is None else files
    if not is_created(run, files) and (upstream := upstream_of(run, files)):
        read_plan(run, upstream)
        after, cancelled = str(upstream.key), cancelled_since(run, files)
        return waiting_state(str(run.key), after, activity, cancelled)
    progress = read_progress(run, files)
    cancelled = cancelled_since(run, files)
    name = state_name(progress, cancelled is not None, activity or RunActivity())
    return RunState(str(run.key), name, progress, activity, cancelled)


def ended_state(run: RunFolder, activity: RunActivity | None) -> RunState | None:
    """The state of a run that is cancelled or stopped; None if it goes on. Reads no part."""
    since = cancelled_since(run)
    if since is not None:
        return RunState(str(run.key), "cancelled", activity=activity, cancelled=since)
    if activity is not None and activity.stop is not None:
        return RunState(str(run.key), "stopped", activity=activity)
    return None


def waiting_state(
    key: str, after: str, activity: RunActivity | None, cancelled: float | None = None
) -> RunState:
    """The state of a dependent run that is not created yet; it is stopped if it cannot be."""
    name: StateName = "stopped" if activity and activity.stop else "waiting"
    if cancelled is not None:
        name = "cancelled"
    return RunState(key, name, activity=activity, cancelled=cancelled, after=after)


def state_name(progress: Progress, cancelled: bool, activity: RunActivity) -> StateName:
    """Name the state of a run that exists.

    A merged run has all that it was to have. What a person did goes before what a worker found.

    >>> progress = Progress(expected=7, ok=0, failed=0, merged=False, rate=None)
    >>> state_name(progress, False, RunActivity(answered={"avg-5:0-63:64": 0}))
    'running'
    """
    if progress.merged and not progress.missing:
        return "merged"
    if cancelled:
        return "cancelled"
    if activity.stop is not None:
        return "stopped"
    if not progress.missing:
        return "complete"
    return "running" if progress.ok or progress.failed or activity.answered else "queued"


def _when(since: float | None) -> str:
    return f" at {datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}" if since else ""

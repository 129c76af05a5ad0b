"""Every run of a store with its state: those that exist, that wait for another, or are damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import redis

from common.errors import UsageError
from common.planning.dependents import pending_dependents
from common.run import RunKey
from common.run_activity import RunActivity
from common.run_counters import RunCounters
from common.run_state import RunState, ended_state, state_of, waiting_state
from common.store import RunFolder, StoreFilesystem, list_runs, open_run
from common.store.run_listing import list_runs_with_files


class Listing(NamedTuple):
    """The states of runs. broker_answers: if not, the states are those of the store alone."""

    states: list[RunState]
    broker_answers: bool


@dataclass(frozen=True)
class Activities:
    """What workers report of runs; nothing if the broker does not answer, which is asked once."""

    by_run: dict[str, RunActivity] | None
    error: redis.RedisError | None = None

    @classmethod
    def read(cls, counters: RunCounters, runs: Sequence[str]) -> "Activities":
        try:
            return cls(dict(zip(runs, counters.activity(runs), strict=True)))
        except redis.RedisError as error:
            return cls(None, error)

    def of(self, run: str) -> RunActivity | None:
        return None if self.by_run is None else self.by_run.get(run, RunActivity())


def list_every_run(store: StoreFilesystem, counters: RunCounters | None) -> Listing:
    """Read the state of every run. One that is damaged hides none of the others.

    counters: None to ask the store alone.
    """
    folders = list(list_runs_with_files(store))
    created = {str(run.key) for run, _ in folders}
    waiting: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for run, _ in folders:
        try:
            waiting.update(pending_dependents(run, created))
        except (UsageError, FileNotFoundError) as error:
            _note_damage(run, error, damaged)
    activities = Activities(None)
    if counters is not None:
        activities = Activities.read(counters, [*created, *waiting])
    states = []
    for run, files in folders:
        try:
            if str(run.key) not in damaged:
                states.append(state_of(run, activities.of(str(run.key)), files))
        except (UsageError, FileNotFoundError) as error:
            _note_damage(run, error, damaged)
    states += [waiting_state(key, on, activities.of(key)) for key, on in waiting.items()]
    states += [RunState(key, "damaged", error=error) for key, error in damaged.items()]
    return Listing(states, activities.by_run is not None)


def _note_damage(
    run: RunFolder, error: UsageError | FileNotFoundError, damaged: dict[str, str]
) -> None:
    """Note a damaged run; one that was deleted or overwritten while it was read is none."""
    if isinstance(error, UsageError):
        damaged[str(run.key)] = str(error)
    elif run.exists() and not run.is_overwritten():
        raise error


def find_run(store: StoreFilesystem, name: str, counters: RunCounters) -> Listing:
    """Read the state of one run, which may wait for another one.

    Raises UsageError if the store does not have it, or a file of it is damaged.
    """
    activities = Activities.read(counters, [name])
    key = RunKey.parse(name)
    run = RunFolder(store, key)
    if not run.exists() and (waiting := find_waiting(store, name)):
        state = waiting_state(name, waiting.after, activities.of(name))
    else:
        state = state_of(open_run(store, key), activities.of(name))
    return Listing([state], activities.by_run is not None)


def read_end(run: RunFolder, counters: RunCounters) -> RunState | None:
    """Read the state of a run that is cancelled or stopped; None if it goes on.

    A stop is not known while the broker does not answer.
    """
    name = str(run.key)
    return ended_state(run, Activities.read(counters, [name]).of(name))


class WaitingRun(NamedTuple):
    """A run that is not created yet: the run beside which it is planned, and what it waits for."""

    planned_at: RunFolder
    after: str


def find_waiting(store: StoreFilesystem, name: str) -> WaitingRun | None:
    """Find the run `name` among the plans of other runs."""
    folders = list(list_runs(store))
    created = {str(run.key) for run in folders}
    for run in folders:
        try:
            pending = pending_dependents(run, created)
        except UsageError:
            continue  # `producer runs` names the damaged file.
        if name in pending:
            return WaitingRun(run, pending[name])
    return None

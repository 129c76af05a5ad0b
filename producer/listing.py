"""Every run of a store with its state: those that exist, that wait for another, or are damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import redis

from common.errors import UsageError
from common.run import RunKey
from common.run_activity import RunActivity
from common.run_counters import RunCounters
from common.run_state import RunState, ended_state, state_of
from common.store import RunFolder, StoreFilesystem
from common.store.opening import open_listed
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
    activities = Activities(None)
    if counters is not None:
        activities = Activities.read(counters, [str(run.key) for run, _ in folders])
    states = []
    for run, files in folders:
        key = str(run.key)
        try:
            states.append(state_of(run, activities.of(key), files))
        except UsageError as error:
            states.append(RunState(key, "damaged", error=str(error)))
        except FileNotFoundError:
            if run.exists() and not run.is_overwritten():
                raise  # It was not deleted, overwritten or created while it was read.
    states.sort(key=_place)
    return Listing(states, activities.by_run is not None)


def _place(state: RunState) -> int:
    """Created runs first, then those that wait, then what is damaged."""
    return 2 if state.name == "damaged" else int(state.after is not None)


def find_run(store: StoreFilesystem, name: str, counters: RunCounters) -> Listing:
    """Read the state of one run, which may wait for another one.

    Raises UsageError if the store does not have it, or a file of it is damaged.
    """
    activities = Activities.read(counters, [name])
    state = state_of(open_listed(store, RunKey.parse(name)), activities.of(name))
    return Listing([state], activities.by_run is not None)


def read_end(run: RunFolder, counters: RunCounters) -> RunState | None:
    """Read the state of a run that is cancelled or stopped; None if it goes on.

    A stop is not known while the broker does not answer.
    """
    name = str(run.key)
    return ended_state(run, Activities.read(counters, [name]).of(name))

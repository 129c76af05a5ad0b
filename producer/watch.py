"""Show the state of one run on the screen until it is merged, stopped or cancelled."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from common.run_counters import RunCounters
from common.run_state import UNKNOWN_ACTIVITY, RunState
from common.store import StoreFilesystem
from producer.listeners import Listeners
from producer.listing import find_run
from producer.pace import Pace
from producer.run_tables import states_table

REFRESH_SECONDS = 1.0


def watch_run(
    store: StoreFilesystem, name: str, counters: RunCounters, console: Console
) -> RunState:
    """Refresh the run's line in place; return its state once only a person can change it.

    Raises UsageError if the store does not have the run, or a file of it is damaged.
    """
    pace, listeners = Pace(), Listeners(counters)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            (state,), broker_answers = find_run(store, name, counters)
            why_idle = listeners.sentence([state]) if broker_answers else UNKNOWN_ACTIVITY
            live.update(_shown(state, pace, [state.sentence(), why_idle]), refresh=True)
            if state.ends_waiting:
                return state
            time.sleep(REFRESH_SECONDS)


def _shown(state: RunState, pace: Pace, lines: Sequence[str | None]) -> Group:
    if state.progress is not None:
        pace.note(state.answered, state.is_at_work)
    texts = [Text(line) for line in lines if line]
    return Group(states_table([state], pace), *texts)

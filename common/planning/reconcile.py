"""Reconciling: send again what is lost, merge what is complete, from what the store says.

A row is lost if no part holds it, no message of its queue is left, and no worker holds a message
that names it. A message can be out of sight for a moment, and a run is in the store before its
messages are sent. So only what was lost at two looks, CONFIRM_SECONDS apart, is believed to be.
Sending a row twice would cost its time and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from common.broker import queue_of_slug
from common.counted import counted
from common.errors import OverwrittenRun, UsageError, first_line
from common.in_flight import read_in_flight
from common.messages import SendShards, ShardMessage
from common.planning import suspicions
from common.planning.dependents import create_dependents, dependents_of
from common.planning.sharding import messages_of_rows, recorded_shard_size, sharing_runs
from common.planning.suspicions import Suspicions
from common.resends import MOST_IN_VAIN, claim_resend, forget_resends, resends_in_vain
from common.run_counters import RunCounters
from common.store.cancellation import is_cancelled
from common.store.identity import store_id
from common.store.merge import merge_run
from common.store.parts import RowNumbers
from common.store.progress import missing_rows, read_progress
from common.store.runs import RunFolder

Merge = Callable[[RunFolder], str]
"""Merges a complete run and creates its dependents, or begins to; returns a verb that says so.

Raises UsageError if that cannot be done."""

_THE_MERGE = np.array([-1], dtype=np.int64)
"""Stands for the merge of a run among the numbers of its rows."""


@dataclass(frozen=True)
class RunFinding:
    """State of a run at a look, and the action taken.

    text: in words. sent: rows that were sent again. seems_lost: something is missing, and another
    look CONFIRM_SECONDS later tells whether it is lost. settled: the run is merged whole, and so
    its dependents exist, or the run is gone.
    """

    run: RunFolder
    text: str
    sent: int = 0
    did: bool = False
    seems_lost: bool = False
    settled: bool = False


@dataclass(frozen=True, eq=False)
class _Lost:
    run: RunFolder
    rows: RowNumbers
    missing: int


def _rows(rows: RowNumbers) -> str:
    return counted(len(rows), "row")


def _queue(lost: _Lost) -> str:
    return queue_of_slug(lost.run.key.model)


def merge_and_create(run: RunFolder) -> str:
    """Merge a complete run in this process, and create its dependents."""
    merge_run(run)
    create_dependents(run)
    return "is merged now"


class Reconciler:
    """Looks at runs and puts right what is lost. Keep one for several looks: it remembers.

    Stops of runs are respected and never lifted. Any number may look at the same runs at once:
    each lost row is sent by one of them.
    """

    def __init__(
        self, counters: RunCounters, send: SendShards, merge: Merge = merge_and_create
    ) -> None:
        self._counters = counters
        self._send = send
        self._merge = merge
        self._suspicions = Suspicions()

    def look(self, runs: Iterable[RunFolder]) -> list[RunFinding]:
        """Look at each run; returns one finding each, in no order.

        Raises redis.RedisError.
        """
        lost: list[_Lost] = []
        findings = []
        for run in runs:
            outcome = self._look_at(run)
            if isinstance(outcome, RunFinding):
                findings.append(outcome)
            else:
                lost.append(outcome)
        return [*findings, *self._send_again(lost)]

    def _look_at(self, run: RunFolder) -> RunFinding | _Lost:
        run = RunFolder(run.store, run.key)  # Not as an earlier look has read it.
        try:
            if not run.exists():
                return RunFinding(run, "is not in the store", settled=True)
            if reason := self._set_aside(run):
                return RunFinding(run, reason)
            return self._judge(run)
        except OverwrittenRun as error:
            return RunFinding(run, first_line(error))
        except UsageError as error:
            return RunFinding(run, f"is damaged: {first_line(error)}")
        except OSError as error:
            return RunFinding(run, f"cannot be looked at now: {first_line(error)}")

    def _set_aside(self, run: RunFolder) -> str | None:
        """Why nothing is to be done about the run, or None."""
        if is_cancelled(run):
            return "is cancelled"
        reason = self._counters.stop_reason(str(run.key))
        return f"is stopped: {reason}" if reason else None

    def _judge(self, run: RunFolder) -> RunFinding | _Lost:
        # The queue first, the store second: between the two a row is answered, not lost.
        in_flight = read_in_flight(self._counters, queue_of_slug(run.key.model))
        in_work = in_flight.rows_of(str(run.key))
        missing = missing_rows(run)
        if not len(missing):
            return self._finish(run, in_work)
        if in_flight.queued:
            queued = counted(in_flight.queued, "message")
            return RunFinding(run, f"waits: {queued} in its queue, {_rows(missing)} left")
        lost = np.setdiff1d(missing, np.asarray(in_work, dtype=np.int64))
        if not len(lost):
            return RunFinding(run, f"is being worked on, {_rows(missing)} left")
        confirmed = self._suspicions.confirmed(run, lost, suspicions.CONFIRM_SECONDS)
        if not len(confirmed):
            return RunFinding(run, f"seems to have lost {_rows(lost)}", seems_lost=True)
        return _Lost(run, confirmed, len(missing))

    def _finish(self, run: RunFolder, in_work: Sequence[int]) -> RunFinding:
        """Merge a complete run that nobody merges."""
        if in_work:
            return RunFinding(run, "is complete, its last shard is in work")
        if self._is_settled(run):
            return RunFinding(run, "is merged", settled=True)
        seconds = suspicions.CONFIRM_MERGE_SECONDS
        if not len(self._suspicions.confirmed(run, _THE_MERGE, seconds)):
            return RunFinding(run, "is complete and not merged", seems_lost=True)
        try:
            verb = self._merge(run)
        except OverwrittenRun:
            raise
        except UsageError as error:
            return self._stop_unmergeable(run, error)
        return RunFinding(run, f"was complete and {verb}", did=True)

    def _stop_unmergeable(self, run: RunFolder, error: UsageError) -> RunFinding:
        """Stop the run, or what depends on it if the run itself is merged."""
        if not read_progress(run).merged:
            self._counters.stop(str(run.key), str(error))
            return RunFinding(run, f"is stopped, it cannot be merged: {error}", did=True)
        for dependent in dependents_of(run):
            self._counters.stop(str(dependent.key), str(error))
        return RunFinding(run, f"is merged, what depends on it is stopped: {error}", did=True)

    def _is_settled(self, run: RunFolder) -> bool:
        """Whether the merged file is of all parts, and each dependent is there or is not to be."""
        return read_progress(run).merged and all(
            dependent.exists() or self._set_aside(dependent) for dependent in dependents_of(run)
        )

    def _send_again(self, lost: Sequence[_Lost]) -> list[RunFinding]:
        """Send lost rows, those of runs that share a prefill in one message."""
        findings, to_send = [], []
        for each in lost:
            if not claim_resend(self._counters, str(each.run.key)):
                findings.append(RunFinding(each.run, "was sent again by another just now"))
            elif self._in_vain(each):
                findings.append(RunFinding(each.run, "is stopped, it is sent in vain", did=True))
            else:
                to_send.append(each)
        to_send.sort(key=_queue)
        for queue, of_queue in groupby(to_send, _queue):
            findings += self._send_to(queue, list(of_queue))
        return findings

    def _in_vain(self, lost: _Lost) -> bool:
        """Stop a run whose rows were sent too often without any answer."""
        name = str(lost.run.key)
        if resends_in_vain(self._counters, name, lost.missing) < MOST_IN_VAIN:
            return False
        forget_resends(self._counters, name)
        self._counters.stop(
            name,
            f"{lost.missing} rows were sent {MOST_IN_VAIN} times, and each time they were lost; "
            "the workers' logs say why. Enqueue the run again to go on",
        )
        return True

    def _send_to(self, queue: str, lost: Sequence[_Lost]) -> list[RunFinding]:
        rows = {str(each.run.key): each.rows for each in lost}
        messages: list[ShardMessage] = []
        for group in sharing_runs([each.run for each in lost]):
            of_group = [rows[str(run.key)] for run in group]
            messages += messages_of_rows(group, of_group, recorded_shard_size(group[0]))
        identity = store_id(lost[0].run.store)
        for each in lost:
            self._counters.note_store(str(each.run.key), identity)
        self._send(messages, queue)
        return [
            RunFinding(each.run, f"had lost {_rows(each.rows)}: sent again",
                    sent=len(each.rows), did=True)
            for each in lost
        ]  # fmt: skip

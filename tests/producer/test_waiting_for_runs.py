"""producer.waiting: until runs are merged, what ends a wait early, and sending again."""

from io import StringIO

import pytest
import redis
from rich.console import Console
from storekit import make_run, put_part, read_feather

from common.errors import SelfEnsembleError, StopRun, UsageError
from common.store import list_parts, merge_run, verify_run
from producer.waiting import MAX_RESENDS, Waiter, finish


class Ledger:
    """What a waiter asks of a ledger: a reason to halt, and how many messages wait."""

    def __init__(self, waiting=0, reason=None):
        self.answer, self.reason = waiting, reason

    def waiting(self, queues):
        return self.answer

    def halted(self, run):
        return self.reason


@pytest.fixture
def console(monkeypatch):
    monkeypatch.setattr("producer.waiting.POLL_SECONDS", 0.0)
    monkeypatch.setattr("producer.waiting.IDLE_SECONDS", 0.0)
    return Console(file=StringIO(), width=200)


def never():
    raise AssertionError("this must not be called")


def test_complete_runs_are_merged_at_once(store, console):
    runs = [make_run(store, 7, name=name) for name in ("a", "b")]
    for run in runs:
        put_part(run, range(7))
    Waiter(runs, Ledger(), console, never).wait()
    assert [read_feather(run).num_rows for run in runs] == [7, 7]


def test_what_got_lost_is_sent_again_and_waited_for(store, console):
    run = make_run(store, 7)
    put_part(run, range(4))
    Waiter([run], Ledger(), console, lambda: put_part(run, range(4, 7))).wait()
    assert read_feather(run).num_rows == 7
    assert "sending them again" in console.file.getvalue()


def test_nothing_is_sent_again_while_messages_wait(store, console):
    """The rows come in while the worker is asked whether it lives, for the third time."""
    run = make_run(store, 7)
    asked = []

    def alive():
        asked.append(1)
        if len(asked) == 3:
            put_part(run, range(7))

    console_waiter = Waiter([run], Ledger(waiting=1), console, never, alive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producer.waiting.IDLE_SECONDS", 1e-9)
        patch.setattr("time.monotonic", iter(range(100)).__next__)
        console_waiter.wait()
    assert len(asked) == 3


def test_sending_again_for_ever_is_given_up_with_a_reason(store, console):
    sent = []
    waiter = Waiter([make_run(store, 7)], Ledger(), console, lambda: sent.append(1))
    with pytest.raises(UsageError, match="rows are missing and the queue is empty"):
        waiter.wait()
    assert len(sent) == MAX_RESENDS


def test_a_halted_run_ends_the_wait_with_the_workers_reason(store, console):
    waiter = Waiter([make_run(store, 7)], Ledger(reason="other weights"), console, never)
    with pytest.raises(StopRun, match="other weights"):
        waiter.wait()


def test_a_worker_that_died_ends_the_wait(store, console):
    def dead():
        raise UsageError("the worker ended early")

    with pytest.raises(UsageError, match="the worker ended early"):
        Waiter([make_run(store, 7)], Ledger(waiting=1), console, never, dead).wait()


def test_a_broker_that_goes_away_ends_no_wait_with_a_traceback(store, console, monkeypatch):
    """It may be waited for, or named in an error of ours; the store lost nothing."""
    run = make_run(store, 7)
    calls = []

    def away(self, run_name):
        calls.append(1)
        if len(calls) == 2:
            put_part(run, range(7))
        raise redis.ConnectionError("connection closed by server")

    monkeypatch.setattr(Ledger, "halted", away)
    ended = None
    try:
        Waiter([run], Ledger(waiting=1), console, lambda: None).wait()
    except (redis.RedisError, SelfEnsembleError) as error:
        ended = error
    assert not isinstance(ended, redis.RedisError)


def test_a_file_that_a_worker_merged_is_kept_as_it_is(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, range(7))
    merge_run(run)
    monkeypatch.setattr("producer.waiting.merge_run", never)
    finish(run)


@pytest.mark.parametrize("damage", ["partial", "other part"])
def test_a_file_that_does_not_hold_is_merged_anew(store, damage):
    run = make_run(store, 7)
    put_part(run, range(4))
    if damage == "partial":
        merge_run(run, partial=True)
        put_part(run, range(4, 7))
    else:
        old = put_part(run, range(4, 7))
        merge_run(run)
        store.delete(old)
        put_part(run, range(3, 7))
    finish(run)
    assert verify_run(run) == []
    assert read_feather(run).num_rows == 7
    assert len(list_parts(run)) == 2


def test_a_truncated_file_is_merged_anew(store):
    run = make_run(store, 7)
    put_part(run, range(7))
    merge_run(run)
    store.write_bytes(run.feather, store.read_bytes(run.feather)[:-99])
    finish(run)
    assert verify_run(run) == []

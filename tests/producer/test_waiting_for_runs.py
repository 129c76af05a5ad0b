"""producer.waiting: until runs are merged, what ends a wait early, and sending again."""

from io import StringIO
from itertools import count

import pytest
import redis
from rich.console import Console

from common.errors import OverwrittenRun, StopRun, UsageError
from common.store import RunFolder, verify_run
from producer.waiting import MAX_RESENDS, Waiter
from tests.common.storekit import make_run, put_part, read_feather


class FakeCounters:
    """Fixed answers to a Waiter: a reason to stop, a reason for a delay, a queue length."""

    def __init__(self, waiting=0, reason=None, delay=None):
        self.answer, self.reason, self.delay = waiting, reason, delay

    def queue_length(self, queues):
        return self.answer

    def stop_reason(self, run):
        return self.reason

    def delayed(self, run):
        return self.delay


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
    Waiter(runs, FakeCounters(), console, never).wait()
    assert [read_feather(run).num_rows for run in runs] == [7, 7]


def test_what_got_lost_is_sent_again_and_waited_for(store, console):
    run = make_run(store, 7)
    put_part(run, range(4))
    Waiter([run], FakeCounters(), console, lambda: put_part(run, range(4, 7))).wait()
    assert read_feather(run).num_rows == 7
    assert "sending them again" in console.file.getvalue()


def test_while_nothing_is_lost_nothing_is_said(store, console):
    run = make_run(store, 7)
    looks = []

    def nothing_lost():
        looks.append(1)
        if len(looks) == 5:
            put_part(run, range(7))
        return 0

    Waiter([run], FakeCounters(), console, nothing_lost).wait()
    assert len(looks) == 5
    assert "sending" not in console.file.getvalue()


def test_a_while_passes_between_two_looks(store, console, monkeypatch):
    """Every look at the clock takes ten seconds."""
    run = make_run(store, 7)
    rounds = []
    monkeypatch.setattr("producer.waiting.IDLE_SECONDS", 35.0)
    monkeypatch.setattr("time.monotonic", count(step=10).__next__)
    waiter = Waiter(
        [run], FakeCounters(), console, lambda: put_part(run, range(7)), lambda: rounds.append(1)
    )
    waiter.wait()
    assert len(rounds) > 1


def test_sending_again_for_ever_is_given_up_with_a_reason(store, console):
    sent = []
    waiter = Waiter([make_run(store, 7)], FakeCounters(), console, lambda: sent.append(1) or 7)
    with pytest.raises(UsageError, match="rows are missing and the queue is empty"):
        waiter.wait()
    assert len(sent) == MAX_RESENDS + 1


def test_a_stopped_run_ends_the_wait_with_the_workers_reason(store, console):
    waiter = Waiter([make_run(store, 7)], FakeCounters(reason="other weights"), console, never)
    with pytest.raises(StopRun, match="other weights"):
        waiter.wait()


def answered_in_round_five(run):
    """A worker check that writes the run's part when it is called the fifth time."""
    rounds = []

    def alive():
        rounds.append(1)
        if len(rounds) == 5:
            put_part(run, range(7))

    return alive


def test_the_reason_of_a_delay_is_printed_once(store, console, monkeypatch):
    monkeypatch.setattr("producer.waiting.IDLE_SECONDS", 15.0)
    run = make_run(store, 7)
    counters = FakeCounters(waiting=1, delay="store s3://[runs]: timed out")
    Waiter([run], counters, console, never, answered_in_round_five(run)).wait()
    message = "origin waits, and is tried again: store s3://[runs]: timed out"
    assert console.file.getvalue().count(message) == 1


def test_a_worker_that_died_ends_the_wait(store, console):
    def dead():
        raise UsageError("the worker ended early")

    with pytest.raises(UsageError, match="the worker ended early"):
        Waiter([make_run(store, 7)], FakeCounters(waiting=1), console, never, dead).wait()


class Away(FakeCounters):
    """A broker that does not answer the first few times."""

    def __init__(self, times):
        super().__init__(waiting=1)
        self.times = times

    def stop_reason(self, run):
        self.times -= 1
        if self.times >= 0:
            raise redis.ConnectionError("connection closed by server")
        return super().stop_reason(run)


def test_a_broker_that_is_away_for_a_moment_ends_no_wait(store, console, monkeypatch):
    monkeypatch.setattr("producer.waiting.IDLE_SECONDS", 15.0)
    run = make_run(store, 7)
    Waiter([run], Away(3), console, never, answered_in_round_five(run)).wait()
    assert read_feather(run).num_rows == 7


def test_a_broker_that_stays_away_is_named_in_an_error_of_ours(store, console, monkeypatch):
    monkeypatch.setattr("time.monotonic", count(step=10).__next__)
    with pytest.raises(UsageError, match=r"broker has been away .*connection closed by server"):
        Waiter([make_run(store, 7)], Away(10**6), console, never).wait()


def overwriting(run, **changes):
    """Overwrite a run, and answer it, at the first call."""
    done = []

    def overwrite():
        if not done:
            done.append(run)
            run.delete()
            put_part(make_run(run.store, 7, **changes), range(7))

    return overwrite


def test_a_run_that_is_overwritten_with_the_same_spec_is_waited_for(store, console):
    run = make_run(store, 7)
    Waiter([run], FakeCounters(), console, overwriting(run)).wait()
    assert verify_run(RunFolder(store, run.key)) == []


def test_a_run_that_is_overwritten_with_another_spec_ends_the_wait(store, console):
    run = make_run(store, 7)
    waiter = Waiter([run], FakeCounters(), console, overwriting(run, max_new_tokens=9))
    with pytest.raises(OverwrittenRun, match="origin was overwritten with another spec"):
        waiter.wait()
    assert not store.exists(run.feather)

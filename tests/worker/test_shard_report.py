"""worker.shard_report: samples of the shard at work, as the producer reads them."""

import pytest
import redis

from common.errors import CancelledRun
from common.store import missing_rows
from tests.worker.conftest import shard_of
from worker.engine.budget import Budget
from worker.engine.scheduler import Scheduler
from worker.shard_report import ShardReport


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def runs(make_runs):
    return make_runs().runs


def answered(executor, runs):
    return [
        sum(a.answered.values()) for a in executor.counters.activity([str(r.key) for r in runs])
    ]


def test_every_run_of_the_shard_moves_and_the_end_is_told(executor, runs, clock):
    shard = shard_of(runs, list(range(7)))
    with ShardReport(executor.counters, shard, clock) as report:
        (activity, *_) = executor.counters.activity([str(runs[0].key)])
        assert activity.answered == {shard.name: 0}
        clock.now = 1.0
        report.answered(3)
        assert answered(executor, runs) == [3, 3, 3]
    assert [a.answered for a in executor.counters.activity([str(r.key) for r in runs])] == [{}] * 3


def test_the_broker_is_told_once_a_second_at_most(executor, runs, clock):
    with ShardReport(executor.counters, shard_of(runs, list(range(7))), clock) as report:
        told = []
        for second in (0.5, 1.0, 1.5, 1.9, 2.0):
            clock.now = second
            report.answered(1)
            told.append(answered(executor, runs)[0])
    assert told == [0, 2, 2, 2, 5]


def test_samples_that_are_answered_again_after_a_failure_count_once(executor, runs, clock):
    with ShardReport(executor.counters, shard_of(runs, list(range(7))), clock) as report:
        for second, samples in enumerate((3, -3, 3, 3, 9), start=1):
            clock.now = float(second)
            report.answered(samples)
        assert answered(executor, runs)[0] == 7


def test_paraphrases_that_are_drawn_one_by_one_are_one_sample(executor, make_runs, clock):
    (run,) = make_runs(methods=(), step="paraphrases", num_paraphrases=4).runs
    with ShardReport(executor.counters, shard_of((run,), list(range(7))), clock) as report:
        clock.now = 1.0
        report.answered(7 * 2)
        assert answered(executor, [run]) == [4]


def test_a_shard_whose_runs_are_all_cancelled_ends_with_its_next_samples(executor, runs, clock):
    names = [str(run.key) for run in runs]
    with ShardReport(executor.counters, shard_of(runs, [0, 1, 2]), clock) as report:
        executor.counters.cancel(names[0])
        clock.now = 1.0
        report.answered(1)
        for name in names[1:]:
            executor.counters.cancel(name)
        clock.now = 2.0
        with pytest.raises(CancelledRun, match="was cancelled while it was answered"):
            report.answered(1)
    assert answered(executor, runs) == [0, 0, 0]


def test_a_broker_that_is_away_is_asked_once_for_a_shard(executor, runs, clock, monkeypatch):
    asked = []

    def away(*arguments):
        asked.append(arguments)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(executor.counters, "note_answered", away)
    with ShardReport(executor.counters, shard_of(runs, [0, 1]), clock) as report:
        for second in (1.0, 2.0, 3.0):
            clock.now = second
            report.answered(1)
    assert len(asked) == 1


def test_the_engine_tells_of_each_group_that_it_decodes_together(executor, runs, monkeypatch):
    """With room for one sample at a time, and no pause between two reports."""
    monkeypatch.setattr("worker.shard_report.SECONDS_BETWEEN", 0.0)
    seen = []
    note = executor.counters.note_answered
    monkeypatch.setattr(
        executor.counters, "note_answered", lambda *told: (seen.append(told[2]), note(*told))
    )
    executor.manager.engine_for(runs[0].spec).engine.budget = Budget(cache_bytes=1)
    executor.execute(shard_of(runs, list(range(7))))
    assert seen == list(range(8))
    assert not missing_rows(runs[0]).size
    assert answered(executor, runs) == [0, 0, 0]


def test_what_failed_is_taken_back(executor, runs, monkeypatch):
    monkeypatch.setattr("worker.shard_report.SECONDS_BETWEEN", 0.0)
    engine = executor.manager.engine_for(runs[0].spec).engine
    engine.budget = Budget(cache_bytes=1)
    whole, seen, calls = Scheduler.packs, [], []

    def fails_at_third(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("once")
        return whole(self, *arguments)

    monkeypatch.setattr(Scheduler, "packs", fails_at_third)
    note = executor.counters.note_answered
    monkeypatch.setattr(
        executor.counters, "note_answered", lambda *told: (seen.append(told[2]), note(*told))
    )
    executor.execute(shard_of(runs, list(range(7))))
    assert seen == [0, 1, 2, 0, *range(1, 8)]

"""Faults of a worker are counted in a row, with a pause after each, until it ends."""

from types import SimpleNamespace

import pytest
from kombu.transport.redis import QoS

from worker.main_process import own_faults
from worker.main_process.dead_letters import SortingQoS
from worker.main_process.own_faults import EXIT_STATUS, MOST_IN_A_ROW, PAUSE_SECONDS, OwnFaults


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(own_faults, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def flags():
    return SimpleNamespace(should_stop=None)


@pytest.fixture
def faults(clock, flags):
    return OwnFaults(flags)


def test_each_fault_is_followed_by_a_longer_pause(clock, faults):
    assert not faults.pausing()
    for number in (1, 2):
        faults.failed("another store")
        clock.now += number * PAUSE_SECONDS - 0.01
        assert faults.pausing()
        clock.now += 0.02
        assert not faults.pausing()


def test_after_a_few_in_a_row_the_worker_ends_and_says_why_once(faults, flags, caplog):
    for _ in range(MOST_IN_A_ROW + 1):
        faults.failed("another store")
    assert flags.should_stop == EXIT_STATUS
    assert [record.message for record in caplog.records] == [
        "this worker takes no more work and ends with status 78: it gave back 3 shards in a row, "
        "which wait for other workers. Mend the cause and start it again: another store"
    ]


def test_a_shard_that_went_well_in_between_ends_the_row(faults, flags):
    for _ in range(MOST_IN_A_ROW):
        faults.failed("another store")
        faults.succeeded()
    assert flags.should_stop is None


def test_a_worker_that_is_told_to_stop_keeps_the_status_it_was_told(faults, flags):
    flags.should_stop = 0
    for _ in range(MOST_IN_A_ROW):
        faults.failed("another store")
    assert flags.should_stop == 0


@pytest.mark.parametrize(("queues", "takes"), [({"model.other"}, False), (set(), True)])
def test_in_a_pause_the_queues_are_left_alone_and_broadcasts_are_heard(
    faults, monkeypatch, queues, takes
):
    monkeypatch.setattr("worker.main_process.dead_letters.own_faults", faults)
    monkeypatch.setattr(QoS, "can_consume", lambda _: True)
    qos = SortingQoS.__new__(SortingQoS)
    qos.channel = SimpleNamespace(active_queues=queues)
    assert qos.can_consume()
    faults.failed("another store")
    assert qos.can_consume() is takes

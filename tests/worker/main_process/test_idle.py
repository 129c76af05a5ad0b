"""A worker looks for lost work when it has none, one worker at a time."""

import subprocess
import sys
import threading

import pytest

from common.resends import reconciling_lock
from common.run_counters import RunCounters
from common.store import StoreFilesystem
from common.store.enqueued import note_enqueued
from worker.main_process.idle import idle_look, look_when_idle, release


def looks_until(count, is_busy=lambda: False, fail=False):
    """How often there was a look before the thread was ended, after `count` rounds."""
    ended, looks, rounds = threading.Event(), [], []

    def busy():
        rounds.append(1)
        if len(rounds) == count:
            ended.set()
        return is_busy()

    def look():
        looks.append(1)
        if fail:
            raise OSError("the store is away")

    look_when_idle(look, busy, ended, look_seconds=0.001)
    return len(looks)


def test_a_worker_without_work_looks():
    assert looks_until(5) > 0


def test_a_busy_worker_does_not_look():
    assert looks_until(5, is_busy=lambda: True) == 0


def test_an_error_is_logged_and_the_thread_lives_on(monkeypatch, caplog):
    monkeypatch.setattr("worker.main_process.idle.PAUSE_SECONDS", 0.001)
    assert looks_until(5, fail=True) > 1
    assert "OSError: the store is away" in caplog.text


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


def test_one_worker_looks_at_a_time(settings, counters, make_runs):
    run = make_runs(methods=("avg",)).runs[0]
    note_enqueued(run, settings.namespace)
    look = idle_look(settings, lambda *_: None)
    other = reconciling_lock(counters)
    assert other.acquire()
    assert look() == []
    other.release()
    assert [verdict.run.key for verdict in look()] == [run.key]
    assert reconciling_lock(counters).acquire()


def test_a_lock_that_another_has_by_now_is_left_to_it(counters):
    late, other = reconciling_lock(counters), reconciling_lock(counters)
    assert late.acquire()
    counters.client.delete(f"{counters.prefix}reconciling")
    assert other.acquire()
    release(late)
    assert other.owned()


def test_a_worker_with_an_empty_store_finds_nothing(settings):
    assert idle_look(settings, lambda *_: None)() == []
    assert StoreFilesystem.open(settings.store).list("", recursive=True) == []


def test_the_main_process_loads_no_torch():
    code = "import sys, worker.main_process.idle, worker.app; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"

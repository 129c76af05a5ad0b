"""Merge processes: one at a time on a host, and none outlives the process that started it."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from common.run_counters import RunCounters
from common.store import StoreFilesystem, verify_run
from tests.common.storekit import make_run, put_part
from tests.worker.held_merge import let_go_on, make_fifos, next_begun
from worker.merge_process import lock_path, turn
from worker.merge_starter import MergeStarter

DEADLINE = 60.0


@pytest.fixture
def complete(settings):
    """Make a complete run of this name, and return it."""

    def make(name):
        run = make_run(StoreFilesystem.open(settings.store), name=name)
        put_part(run, range(7))
        return run

    return make


@pytest.fixture
def starter(settings):
    return MergeStarter(settings)


@pytest.fixture
def holding(settings, tmp_path):
    """A starter of merges that wait in the middle of writing."""
    make_fifos(tmp_path)
    return MergeStarter(settings, "tests.worker.held_merge")


def processes() -> list[psutil.Process]:
    """The merge processes that run, in the order of their start."""
    own = psutil.Process().children()
    found = [p for p in own if p.is_running() and "merge" in " ".join(p.cmdline()[:3])]
    return sorted(found, key=lambda process: process.create_time())


def waiting_for_a_lock() -> set[int]:
    """The processes that the kernel lets wait for a lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return {int(line.split()[5]) for line in lines if "->" in line}


def wait_until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_process_merges_every_run_that_it_is_started_for(starter, complete):
    runs = [complete("origin"), complete("max-1")]
    starter.start([str(run.key) for run in runs])
    starter.wait()
    assert [verify_run(run) for run in runs] == [[], []]


def test_starting_does_not_wait_for_the_merge(holding, complete, tmp_path):
    run = complete("origin")
    holding.start([str(run.key)])
    assert next_begun(tmp_path) == str(run.key)
    assert not run.is_merged()
    let_go_on(tmp_path)
    holding.wait()
    assert run.is_merged()


def test_waiting_has_an_end_though_a_merge_has_none(holding, complete, tmp_path):
    run = complete("origin")
    holding.start([str(run.key)])
    next_begun(tmp_path)
    holding.wait(0.1)
    assert len(processes()) == 1
    holding.end()
    holding.wait()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who waits")
def test_two_runs_on_one_host_are_merged_one_after_the_other(
    settings, holding, complete, tmp_path
):
    other = MergeStarter(settings, "tests.worker.held_merge")
    first, second = complete("origin"), complete("max-1")
    holding.start([str(first.key)])
    assert next_begun(tmp_path) == str(first.key)
    (merging,) = processes()
    other.start([str(second.key)])
    (waiting,) = set(processes()) - {merging}
    wait_until(lambda: waiting.pid in waiting_for_a_lock())
    assert not second.is_merged()
    let_go_on(tmp_path)
    holding.wait()
    assert next_begun(tmp_path) == str(second.key)
    let_go_on(tmp_path)
    other.wait()
    assert second.is_merged()


def test_another_store_has_its_own_turn(settings, tmp_path):
    assert lock_path(settings.store) == lock_path(f"{settings.store}/../store/.")
    assert lock_path(settings.store) != lock_path(str(tmp_path / "other"))


def test_where_no_lock_can_be_made_there_is_no_wait(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    with turn(link):
        assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("end", ["its starter ends", "SIGTERM"])
def test_a_merge_that_is_ended_leaves_the_store_as_it_was(holding, complete, tmp_path, end):
    run = complete("origin")
    before = run.store.list("", recursive=True)
    holding.start([str(run.key)])
    next_begun(tmp_path)
    (process,) = processes()
    assert len(run.store.list("", recursive=True)) == len(before) + 1
    if end == "SIGTERM":
        process.send_signal(signal.SIGTERM)
    else:
        holding.end()
    holding.wait()
    assert run.store.list("", recursive=True) == before


def test_a_killed_merge_is_said_in_the_log_and_merged_the_next_time(
    holding, starter, complete, tmp_path, caplog
):
    run = complete("origin")
    holding.start([str(run.key)])
    next_begun(tmp_path)
    (process,) = processes()
    process.kill()
    holding.wait()
    assert f"merging {run.key} ended with status -9" in caplog.text
    assert not run.is_merged()
    starter.start([str(run.key)])
    starter.wait()
    assert verify_run(run) == []


def test_a_run_that_is_being_merged_is_not_merged_twice_at_once(holding, complete, tmp_path):
    """A shard may be delivered a thousand times. After one that wrote a part it is."""
    run = complete("origin")
    holding.start([str(run.key)])
    next_begun(tmp_path)
    for _ in range(5):
        holding.start([str(run.key)], anew=False)
    assert len(processes()) == 1
    holding.start([str(run.key)], anew=True)
    wait_until(lambda: len(processes()) == 2)
    let_go_on(tmp_path)
    holding.wait()


def test_a_run_that_cannot_be_merged_is_stopped_with_the_reason(settings, starter, complete):
    run = complete("origin")
    (part,) = run.store.list(run.file("parts"))
    run.store.write_bytes(part, b"damaged")
    starter.start([str(run.key)])
    starter.wait()
    counters = RunCounters.connect(settings.broker, settings.namespace)
    assert part in counters.stop_reason(str(run.key))
    assert not run.is_merged()


def test_a_merge_leaves_the_processors_to_others(holding, complete, tmp_path):
    own = os.nice(0)
    holding.start([str(complete("origin").key)])
    next_begun(tmp_path)
    (process,) = processes()
    assert process.nice() == min(19, own + 10)
    let_go_on(tmp_path)
    holding.wait()

"""Runs that several processes create at once: one of them does, and no answer is lost."""

from functools import partial

import pytest

from common.errors import UsageError
from common.planning.plan import create_runs
from common.store import RunFolder, list_parts, list_runs, merge_run, verify_run
from tests.common.diskkit import local_disk, object_store, watch_local_disk
from tests.common.processkit import Fault, Process
from tests.common.stepkit import plan, questions
from tests.common.storekit import put_part

MOMENTS = range(1, 31)
"""Operations of the file system before which the first process waits; it has fewer in all."""


@pytest.fixture(params=["local", "objects"])
def watched(request, tmp_path, monkeypatch):
    watch_local_disk(monkeypatch)
    return local_disk(tmp_path / "store") if request.param == "local" else object_store()


@pytest.fixture
def watched_disk(tmp_path, monkeypatch):
    watch_local_disk(monkeypatch)
    return local_disk(tmp_path / "store")


def create(store, **changes):
    (run,) = create_runs(store, [plan("avg", **changes)], questions(7, 3), {})
    return run


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_another_creates_and_answers_meanwhile_stays(watched, moment):
    slow = Process(partial(create, watched), Fault("pause", moment)).start()
    run = create(watched)
    put_part(run, range(4))
    if slow.is_paused:
        slow.go_on()
    assert slow.error is None
    (now,) = list_runs(watched)
    assert (now.record, len(list_parts(now))) == (run.record, 1)
    put_part(now, range(4, 7))
    merge_run(now)
    assert verify_run(now) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_slower_one_of_another_spec_is_refused(watched_disk, moment):
    slow = Process(partial(create, watched_disk, max_new_tokens=9), Fault("pause", moment)).start()
    if list(list_runs(watched_disk)):
        return  # It was the faster one.
    run = create(watched_disk)
    slow.go_on()
    assert isinstance(slow.error, UsageError)
    assert "exists with another fingerprint: max_new_tokens" in str(slow.error)
    assert RunFolder(watched_disk, run.key).record == run.record


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_creation_leaves_is_no_run_and_in_nobodys_way(watched, moment):
    killed = Process(partial(create, watched), Fault("kill", moment)).start()
    assert killed.error is None or killed.was_killed
    run = create(watched)
    put_part(run, range(7))
    merge_run(run)
    assert [listed.key for listed in list_runs(watched)] == [run.key]
    assert verify_run(run) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_left_of_a_killed_deletion_does_not_come_back(watched, moment):
    old = create(watched)
    put_part(old, range(7))
    merge_run(old)
    Process(old.delete, Fault("kill", moment)).start()
    (new,) = create_runs(watched, [plan("avg")], questions(7, 3), {}, [str(old.key)])
    assert new.record.generation != old.record.generation
    assert list_parts(new) == []
    assert not new.is_merged()

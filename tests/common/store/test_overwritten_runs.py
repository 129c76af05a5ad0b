"""A run that is overwritten while others have it open: nothing of the old one enters the new."""

import threading
from dataclasses import asdict

import pytest

from common.errors import OverwrittenRun, UsageError
from common.planning.plan import create_runs
from common.store import (
    RunFolder,
    list_parts,
    list_runs,
    merge,
    merge_run,
    missing_rows,
    read_progress,
    runs,
    verify_run,
)
from common.store.manifest import read_manifest
from common.store.parts import write_part
from common.store.verify import holds
from tests.common.stepkit import plan, questions
from tests.common.storekit import WEIGHTS, all_files, make_answer, make_info, make_run, put_part

OTHER_WEIGHTS = "hub:owner/model@7654321"


def opened(store, **changes):
    """A run as a worker has opened it: its record is read."""
    run = make_run(store, 7, **changes)
    assert run.record.key == str(run.key)
    return run


def overwritten(run, **changes):
    run.delete()
    return make_run(run.store, 7, **changes)


def test_runs_of_one_key_and_spec_have_generations_of_their_own(any_store):
    old = opened(any_store)
    new = overwritten(old)
    assert old.record.fingerprint == new.record.fingerprint
    assert old.record.generation != new.record.generation
    assert old.is_overwritten()
    assert not new.is_overwritten()


@pytest.mark.parametrize("changes", [{}, {"max_new_tokens": 9}], ids=["same spec", "other spec"])
def test_a_late_part_is_not_committed(any_store, changes):
    old = opened(any_store)
    new = overwritten(old, **changes)
    before = all_files(any_store)
    with pytest.raises(OverwrittenRun, match=r"quiz/owner--model/origin was overwritten"):
        put_part(old, range(3))
    assert all_files(any_store) == before
    assert missing_rows(new).tolist() == list(range(7))


def test_a_part_that_is_late_by_one_rename_is_never_read(any_store, monkeypatch):
    """Its run is overwritten after the last look at the record."""
    old = opened(any_store)
    new = overwritten(old)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "check_stands", lambda _: None)
        late = put_part(old, range(7), model_identity=OTHER_WEIGHTS)
    assert any_store.exists(late)
    assert (list_parts(new), read_progress(new).ok) == ([], 0)
    put_part(new, range(7))
    manifest = merge_run(new)
    assert (manifest.parts, manifest.duplicates_dropped) == (1, 0)
    assert manifest.model_identities == [WEIGHTS]
    assert verify_run(new) == []


def test_a_run_that_was_deleted_gets_no_part_and_no_folder(any_store):
    old = opened(any_store)
    info, answer = make_info(old, [0]), make_answer(old, 0)
    old.delete()
    for write in (lambda: write_part(old, info, [answer]), lambda: old.pin_model(WEIGHTS)):
        with pytest.raises(FileNotFoundError, match=r"run\.json"):
            write()
    assert all_files(any_store) == []
    assert not any_store.exists(str(old.key))


def test_a_worker_with_the_old_weights_does_not_pin_the_new_run(any_store, monkeypatch):
    old = opened(any_store)
    new = overwritten(old)
    with pytest.raises(OverwrittenRun):
        old.pin_model(OTHER_WEIGHTS)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "check_stands", lambda _: None)
        old.pin_model(OTHER_WEIGHTS)
    assert new.pinned_model() is None
    new.pin_model(WEIGHTS)
    assert new.pinned_model() == WEIGHTS


@pytest.mark.parametrize("changes", [{}, {"max_new_tokens": 9}], ids=["same spec", "other spec"])
def test_a_late_merge_writes_nothing(any_store, changes):
    old = opened(any_store)
    put_part(old, range(7))
    new = overwritten(old, **changes)
    with pytest.raises(OverwrittenRun):
        merge_run(old)
    assert not any_store.exists(new.feather)


@pytest.mark.parametrize("merged", [False, True])
def test_a_run_overwritten_in_the_middle_of_a_merge_keeps_its_own_file(
    any_store, monkeypatch, merged
):
    old = opened(any_store)
    put_part(old, range(7))
    windows, new = merge.merged_windows, []

    def overwriting(run, *others):
        yield from windows(run, *others)
        if run is old:
            new.append(overwritten(old, max_new_tokens=9))
            if merged:
                put_part(new[0], range(7))
                merge_run(new[0])

    monkeypatch.setattr(merge, "merged_windows", overwriting)
    with pytest.raises(OverwrittenRun):
        merge_run(old)
    assert any_store.exists(new[0].feather) is merged
    if merged:
        assert verify_run(new[0]) == []
    assert not [path for path in all_files(any_store) if path.endswith(".tmp")]


@pytest.mark.parametrize("merged", [False, True])
def test_a_merge_that_is_late_by_one_rename_takes_its_file_back(any_store, monkeypatch, merged):
    """The new run is created, and perhaps merged, between the last look and the rename."""
    old = opened(any_store)
    put_part(old, range(7))
    check, looks, new = RunFolder.check_stands, [], []

    def overwriting(run):
        check(run)
        if run is old:
            looks.append(run)
        if len(looks) == 3 and not new:  # Merging looks first, then twice around its writing.
            new.append(overwritten(old, max_new_tokens=9))
            if merged:
                put_part(new[0], range(7))
                merge_run(new[0])

    monkeypatch.setattr(RunFolder, "check_stands", overwriting)
    with pytest.raises((OverwrittenRun, FileNotFoundError)):
        merge_run(old)
    assert not any_store.exists(new[0].feather)
    assert read_progress(new[0]).state == ("complete" if merged else "queued")


def test_a_merged_file_of_an_overwritten_run_is_none_of_the_new_one(any_store):
    """As it is seen before the late merge, or the producer, has deleted it."""
    old = opened(any_store)
    put_part(old, range(7))
    merge_run(old)
    late = any_store.read_bytes(old.feather)
    new = overwritten(old)
    put_part(new, range(7))
    any_store.write_bytes(new.feather, late)
    assert read_progress(new).state == "complete"
    assert not holds(new)
    for read in (read_manifest, verify_run, RunFolder.open_result):
        with pytest.raises(UsageError, match=r"overwritten since; `producer merge quiz/"):
            read(new)
    assert asdict(merge_run(new)) == asdict(read_manifest(new))
    assert (read_progress(new).state, verify_run(new)) == ("merged", [])


@pytest.mark.parametrize("tries", range(5))
def test_a_run_is_overwritten_while_workers_keep_writing_parts(any_store, tries):
    run = opened(any_store)
    ended, failures, written = threading.Event(), [], threading.Semaphore(0)

    def work(row):
        try:
            while not ended.is_set():
                put_part(run, [row])
                written.release()
        except (OverwrittenRun, FileNotFoundError):
            pass  # What a late worker is told.
        except BaseException as error:
            failures.append(error)
        finally:
            written.release()

    workers = [threading.Thread(target=work, args=[row]) for row in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(6 + tries):
        written.acquire()
    try:
        spec = plan("origin", max_new_tokens=9)
        key = {"key": str(run.key)}
        (new,) = create_runs(
            any_store, [spec.model_copy(update=key)], questions(7), {}, [str(run.key)]
        )
    finally:
        ended.set()
        for worker in workers:
            worker.join()
    assert failures == []
    assert (list_parts(new), new.spec.max_new_tokens) == ([], 9)
    assert [str(listed.key) for listed in list_runs(any_store)] == [str(run.key)]


def test_what_a_killed_deletion_left_is_no_run_and_goes_with_the_next_one(store, monkeypatch):
    run, other = make_run(store, 7), make_run(store, 7, name="origin-b")
    put_part(run, range(7))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "sweep", lambda *_: None)
        run.delete()
    assert [path for path in all_files(store) if "/.deleted/" in path]
    assert [listed.key for listed in list_runs(store)] == [other.key]
    other.delete()
    assert all_files(store) == []


def test_a_run_is_overwritten_although_what_was_set_aside_cannot_be_deleted(
    any_store, monkeypatch, caplog
):
    run = opened(any_store)

    def full(*_):
        raise OSError(39, "Directory not empty")

    name = "empty" if any_store.is_local else "delete"
    delete = getattr(type(any_store), name)
    refused = (str(run.key), f"{run.key.dataset}/{run.key.model}/.deleted")

    def failing(store, path):
        return full() if path in refused else delete(store, path)

    monkeypatch.setattr(type(any_store), name, failing)
    new = overwritten(run)
    put_part(new, range(7))
    merge_run(new)
    assert verify_run(new) == []
    assert "holds what no run needs" in caplog.text


def test_a_folder_that_may_not_be_renamed_keeps_the_run_whole(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, range(7))
    merge_run(run)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store), "move", denied)
    with pytest.raises(PermissionError):
        run.delete()
    assert verify_run(run) == []

"""common.store.progress: what a run says about how far it is."""

import os

import pytest

from common.store import Progress, RunFolder, merge_run, read_progress
from common.store.run_listing import list_runs_with_files
from tests.common.storekit import make_run, put_part


def test_a_run_without_parts_is_queued_and_has_no_rate(any_store):
    progress = read_progress(make_run(any_store, 7))
    assert progress == Progress(expected=7, ok=0, failed=0, merged=False, rate=None)
    assert (progress.state, progress.missing, progress.seconds_left) == ("queued", 7, None)


def test_ok_failed_and_missing_rows_are_told_apart(any_store):
    run = make_run(any_store, 11)
    put_part(run, [0, 1, 2], failed=[1])
    put_part(run, [5, 6])
    progress = read_progress(run)
    assert (progress.ok, progress.failed, progress.missing) == (4, 1, 6)
    assert progress.state == "running"


def test_a_run_that_only_failed_so_far_is_running(store):
    run = make_run(store, 7)
    put_part(run, [0], failed=[0])
    assert read_progress(run).state == "running"


def test_a_row_held_by_two_parts_counts_once(any_store):
    run = make_run(any_store, 7)
    put_part(run, [0, 1, 2], failed=[1])
    put_part(run, [1, 2, 3, 4], failed=[1])
    progress = read_progress(run)
    assert (progress.ok, progress.failed, progress.missing) == (4, 1, 2)


def test_a_row_of_a_method_with_many_paraphrases_counts_as_one_sample(store):
    run = make_run(store, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    put_part(run, [0, 1], failed=[1])
    progress = read_progress(run)
    assert (progress.expected, progress.ok, progress.failed) == (5, 1, 1)


def test_the_rate_is_that_of_the_parts_after_the_first(store):
    """How long the first one took, no listing tells."""
    run = make_run(store, 11)
    for seconds, rows in ((100, [0, 1, 2]), (110, [3, 4]), (110, [5, 6, 7])):
        os.utime(store.path(put_part(run, rows, failed=rows[:1])), (seconds, seconds))
    progress = read_progress(run)
    assert progress.rate == pytest.approx(5 / 10)
    assert progress.seconds_left == pytest.approx(3 / 0.5)


@pytest.mark.parametrize("times", [[5], [5, 5]])
def test_one_part_or_a_clock_that_stood_still_gives_no_rate(store, times):
    run = make_run(store, 7)
    for row, seconds in enumerate(times):
        os.utime(store.path(put_part(run, [row])), (seconds, seconds))
    assert read_progress(run).rate is None


def test_a_run_is_complete_then_merged_then_running_when_a_part_is_gone(any_store):
    run = make_run(any_store, 5)
    put_part(run, [0, 1, 2])
    path = put_part(run, [3, 4])
    assert read_progress(run).state == "complete"
    merge_run(run)
    assert read_progress(run).state == "merged"
    any_store.delete(path)
    progress = read_progress(run)
    assert (progress.state, progress.missing) == ("running", 2)


@pytest.mark.parametrize("merged", [False, True])
def test_nothing_is_opened_but_the_record_of_the_run(store, monkeypatch, merged):
    run = make_run(store, 7)
    put_part(run, range(3), failed=[1])
    put_part(run, range(3, 7))
    if merged:
        merge_run(run)
    run = RunFolder(store, run.key)
    opened = []
    monkeypatch.setattr(type(store), "open_arrow", lambda _, path: opened.append(path))
    monkeypatch.setattr("pyarrow.memory_map", opened.append)
    progress = read_progress(run)
    assert (progress.ok, progress.failed, opened) == (6, 1, [])
    assert progress.state == ("merged" if merged else "complete")


def test_a_listing_of_the_store_gives_what_one_of_the_run_gives(any_store):
    runs = [make_run(any_store, count, name=f"avg-{count}") for count in (3, 5, 7)]
    for run in runs[1:]:
        put_part(run, range(5), failed=[2])
    merge_run(runs[1])
    listed = {run.key: read_progress(run, files) for run, files in list_runs_with_files(any_store)}
    assert listed == {run.key: read_progress(run) for run in runs}
    assert [progress.state for progress in listed.values()] == ["queued", "merged", "running"]


@pytest.mark.parametrize("removed", ["the merged file", "the mark"])
def test_a_run_is_merged_only_with_its_file_and_the_mark_of_these_parts(store, removed):
    run = make_run(store, 3)
    put_part(run, range(3))
    merge_run(run)
    (mark,) = [path for path in store.list(str(run.key)) if "merged-" in path]
    store.delete({"the merged file": run.feather, "the mark": mark}[removed])
    assert read_progress(run).state == "complete"
    merge_run(run)
    assert read_progress(run).state == "merged"


def test_another_part_makes_the_mark_void_and_merging_leaves_one_mark(store):
    run = make_run(store, 3)
    put_part(run, [0, 1])
    merge_run(run, partial=True)
    put_part(run, [2])
    assert read_progress(run).state == "complete"
    merge_run(run)
    assert read_progress(run).state == "merged"
    assert len([path for path in store.list(str(run.key)) if "merged-" in path]) == 1


def test_a_row_that_failed_in_one_part_and_not_in_another_counts_as_the_merged_file_shows(store):
    run = make_run(store, 7)
    put_part(run, range(4))
    put_part(run, range(2, 7), failed=[3])
    merge_run(run)
    errors = store.open_arrow(run.feather).read_all()["error"]
    assert read_progress(run).failed == 7 - errors.null_count

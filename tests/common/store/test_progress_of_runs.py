"""common.store.progress: what a run says about how far it is."""

import pytest

from common.store import Progress, merge_run, read_progress
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


def test_the_rate_is_over_the_time_from_the_first_start_to_the_last_finish(any_store):
    run = make_run(any_store, 11)
    put_part(run, [0, 1, 2], started=100.0, finished=104.0)
    put_part(run, [3, 4], failed=[3], started=102.0, finished=110.0)
    progress = read_progress(run)
    assert progress.rate == pytest.approx(5 / 10)
    assert progress.seconds_left == pytest.approx(6 / 0.5)


def test_a_clock_that_stood_still_gives_no_rate(store):
    run = make_run(store, 7)
    put_part(run, [0], started=5.0, finished=5.0)
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


def test_who_asks_again_opens_only_the_new_parts(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, [0, 1])
    known, opened = {}, []
    real = type(store).open_arrow

    def note(self, relative):
        opened.append(relative)
        return real(self, relative)

    monkeypatch.setattr(type(store), "open_arrow", note)
    assert read_progress(run, known).ok == 2
    monkeypatch.undo()
    new = put_part(run, [2, 3, 4])
    monkeypatch.setattr(type(store), "open_arrow", note)
    opened.clear()
    assert read_progress(run, known).ok == 5
    assert opened == [new]


def test_a_row_that_failed_in_one_part_and_not_in_another_counts_as_the_merged_file_shows(store):
    run = make_run(store, 7)
    put_part(run, range(4))
    put_part(run, range(2, 7), failed=[3])
    merge_run(run)
    errors = store.open_arrow(run.feather).read_all()["error"]
    assert read_progress(run).failed == 7 - errors.null_count

"""Retries: rows that failed are withdrawn, and count as missing until a later attempt has them."""

import json
import threading
from dataclasses import replace

import pytest

from common.errors import OverwrittenRun, UsageError
from common.store import (
    RunFolder,
    list_parts,
    merge_run,
    missing_rows,
    read_progress,
    verify_run,
    withdrawal,
)
from common.store.manifest import read_manifest
from common.store.parts import write_part
from common.store.progress import done_rows
from common.store.retries import latest_attempt, read_retries
from common.store.verify import holds
from common.store.withdrawal import withdraw
from tests.common.storekit import make_answer, make_info, make_run, put_part, read_feather


@pytest.fixture(params=["origin", "per_prompt"])
def run(request, any_store):
    """A merged run in which rows 1 and 4 failed of a worker's fault, and row 2 of its own."""
    width = 3 if request.param == "per_prompt" else 1
    run = make_run(any_store, 7, method=request.param, num_paraphrases=width)
    put_part(run, range(4), failed=[1], by_sample=[2])
    put_part(run, range(4, 7), failed=[4])
    merge_run(run)
    return run


def answer(run, rows, text, attempt):
    """A part of these rows, all of them answered with `text`."""
    width = run.spec.num_paraphrases if run.method.row_per_paraphrase else 1
    answers = [
        replace(make_answer(run, row, w), prediction=text) for row in rows for w in range(width)
    ]
    return write_part(run, make_info(run, rows, attempt=attempt), answers)


def predictions(run):
    """Prediction of the first paraphrase of each row in the merged file."""
    return read_feather(run)["prediction"].to_pylist()[:: len(read_feather(run)) // 7]


def test_what_failed_of_a_workers_fault_counts_as_missing_and_the_rest_does_not(run):
    assert withdraw(run) == 2
    assert missing_rows(run).tolist() == [1, 4]
    assert done_rows(run) == [0, 2, 3, 5, 6]
    progress = read_progress(run)
    assert (progress.ok, progress.failed, progress.missing, progress.again) == (4, 1, 2, 2)
    assert progress.state == "running"


def test_all_that_failed_is_withdrawn_if_asked_for(run):
    assert withdraw(run, every=True) == 3
    assert missing_rows(run).tolist() == [1, 2, 4]


def test_rows_of_the_samples_own_fault_may_be_withdrawn_after_the_others(run):
    withdraw(run)
    assert withdraw(run, every=True) == 1
    assert [retry.rows for retry in read_retries(run)] == [(1, 4), (2,)]
    assert missing_rows(run).tolist() == [1, 2, 4]


def test_what_is_withdrawn_is_not_withdrawn_again_before_it_is_answered(run):
    withdraw(run)
    assert withdraw(run) == 0
    assert latest_attempt(run) == 2


def test_a_run_in_which_nothing_failed_gets_no_retry(any_store):
    run = make_run(any_store, 7)
    assert withdraw(run, every=True) == 0
    put_part(run, range(7))
    assert withdraw(run, every=True) == 0
    assert (latest_attempt(run), read_retries(run)) == (1, [])


def test_a_row_that_another_part_answers_did_not_fail(any_store):
    run = make_run(any_store, 7)
    put_part(run, range(4), failed=[1, 3])
    put_part(run, [2, 3])
    assert withdraw(run) == 1
    assert missing_rows(run).tolist() == [1, 4, 5, 6]


def test_a_later_attempt_completes_the_run_and_the_new_merge_has_its_answers(run):
    withdraw(run)
    answer(run, [1], "again", attempt=2)
    assert missing_rows(run).tolist() == [4]
    answer(run, [4], "again", attempt=2)
    assert (read_progress(run).state, read_progress(run).failed) == ("complete", 1)
    merge_run(run)
    assert [row for row, text in enumerate(predictions(run)) if text == "again"] == [1, 4]
    assert [row for row, text in enumerate(predictions(run)) if text is None] == [2]
    assert read_progress(run).state == "merged"
    assert verify_run(run) == []


def test_the_manifest_tells_how_often_samples_were_tried(run):
    assert read_manifest(run).tries == {}
    withdraw(run)
    put_part(run, [1, 4], failed=[4], attempt=2)
    merge_run(run)
    assert (read_manifest(run).tries, read_manifest(run).attempt) == ({"2": 2}, 2)
    assert withdraw(run) == 1
    answer(run, [4], "at last", attempt=3)
    manifest = merge_run(run)
    assert (manifest.tries, manifest.attempt, manifest.failed) == ({"2": 1, "3": 1}, 3, 1)
    assert predictions(run)[4] == "at last"
    assert verify_run(run) == []


def test_what_fails_of_its_own_fault_the_second_time_is_left(run):
    withdraw(run)
    put_part(run, [1, 4], by_sample=[4], attempt=2)
    assert withdraw(run) == 0
    assert withdraw(run, every=True) == 2


def test_a_late_part_of_the_first_attempt_answers_nothing_and_changes_no_answer(run):
    withdraw(run)
    answer(run, [0, 1, 4], "late", attempt=1)
    assert missing_rows(run).tolist() == [1, 4]
    answer(run, [1, 4], "again", attempt=2)
    merge_run(run)
    assert [predictions(run)[row] for row in (1, 4)] == ["again", "again"]
    assert verify_run(run) == []


def test_a_part_of_a_later_attempt_counts_for_rows_that_were_never_answered_too(any_store):
    run = make_run(any_store, 7)
    put_part(run, range(4), failed=[1])
    withdraw(run)
    assert missing_rows(run).tolist() == [1, 4, 5, 6]
    put_part(run, [1, 4, 5, 6], attempt=2)
    assert merge_run(run).tries == {"2": 1}
    assert verify_run(run) == []


def test_the_merged_file_stays_and_holds_until_all_of_it_is_answered(run):
    before = run.store.read_bytes(run.feather)
    withdraw(run)
    answer(run, [1], "again", attempt=2)
    with pytest.raises(
        UsageError, match=r"is being retried, 1 of its 7 rows are not answered again yet"
    ):
        merge_run(run)
    assert run.store.read_bytes(run.feather) == before
    assert verify_run(run) == []
    assert not holds(run)


def test_a_partial_merge_keeps_the_old_rows_and_says_how_many_are_answered_again(run):
    withdraw(run)
    answer(run, [1], "again", attempt=2)
    manifest = merge_run(run, partial=True)
    assert (manifest.partial, manifest.found, manifest.again) == (True, 7, 1)
    assert (predictions(run)[1], predictions(run)[4]) == ("again", None)
    assert verify_run(run) == []
    answer(run, [4], "again", attempt=2)
    assert verify_run(run) != []
    manifest = merge_run(run)
    assert (manifest.partial, manifest.again) == (False, 0)


def test_of_two_retries_at_once_each_has_a_number_of_its_own(run, monkeypatch):
    """The second begins, and ends, when the first has taken its number."""
    real, seen = withdrawal.latest_attempt, []

    def overtaken(run):
        seen.append(real(run))
        if len(seen) == 1:
            assert withdraw(run, every=True) == 3
        return seen[0] if len(seen) == 1 else real(run)

    monkeypatch.setattr(withdrawal, "latest_attempt", overtaken)
    assert withdraw(run) == 0
    assert [(retry.attempt, retry.rows) for retry in read_retries(run)] == [(2, (1, 2, 4))]


def test_many_retries_at_once_withdraw_each_row_once(run):
    barrier, counts = threading.Barrier(4), []

    def begin(every):
        barrier.wait()
        counts.append(withdraw(RunFolder(run.store, run.key), every))

    threads = [threading.Thread(target=begin, args=(n % 2 == 0,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [row for retry in read_retries(run) for row in retry.rows]
    assert sorted(rows) == [1, 2, 4]
    assert len(counts) == 4


def test_a_retry_of_an_overwritten_run_is_refused_and_is_not_the_new_runs(run, monkeypatch):
    old = RunFolder(run.store, run.key)
    assert old.record.key == str(run.key)
    run.delete()
    new = make_run(run.store, 7)
    put_part(new, range(7), failed=[1])
    with pytest.raises(OverwrittenRun):
        withdraw(old)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "check_stands", lambda _: None)
        patch.setattr(withdrawal, "_rows_to_retry", lambda *_: missing_rows(old))
        assert withdraw(old) == 7
    assert (latest_attempt(new), missing_rows(new).tolist()) == (1, [])


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"rows": 3}', b'{"rows": [[0, 99]]}', b'{"rows": [["a", 2]]}']
)
def test_a_damaged_retry_is_named_with_what_to_do(run, content):
    withdraw(run)
    (path,) = [path for path in run.store.list(run.file("retries")) if path.endswith(".json")]
    run.store.write_bytes(path, content)
    with pytest.raises(UsageError, match=r"a2-.*\.json does not list .*delete it") as refused:
        missing_rows(run)
    assert run.store.path(path) in str(refused.value)


def test_a_retry_that_somebody_deleted_keeps_the_answers_that_it_gave(run):
    withdraw(run)
    answer(run, [1, 4], "again", attempt=2)
    run.store.delete(run.file("retries"))
    assert (merge_run(run).failed, holds(run), read_progress(run).state) == (1, True, "merged")
    assert predictions(run)[1] == "again"


def test_a_retry_lists_ranges_of_rows(any_store):
    run = make_run(any_store, 7)
    put_part(run, range(7), failed=[1, 2, 3, 6])
    withdraw(run)
    (path,) = [path for path in any_store.list(run.file("retries")) if path.endswith(".json")]
    assert json.loads(any_store.read_bytes(path)) == {"attempt": 2, "rows": [[1, 4], [6, 7]]}


def test_a_run_that_was_never_retried_is_counted_without_opening_a_part(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, range(4), failed=[1])
    put_part(run, range(4, 7))
    assert len(list_parts(run)) == 2
    monkeypatch.setattr(type(store), "open_arrow", lambda *_: pytest.fail("opened"))
    assert (read_progress(run).ok, read_progress(run).failed, read_progress(run).again) == (
        6,
        1,
        0,
    )

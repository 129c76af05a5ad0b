"""common.store.scores: whatever is merged after scoring, the scores of the same answers stay."""

import os

import pyarrow as pa
import pytest

from common.schema import META_SCORES, SCORE_FIELDS
from common.store import merge, merge_run, verify_run
from common.store.parts import write_part
from common.store.scores import scores_path, unscored_rows
from common.store.withdrawal import withdraw
from producer.scoring.score import score_run
from tests.common.storekit import (
    all_files,
    make_answer,
    make_info,
    make_run,
    put_part,
    read_feather,
)

COLUMNS = [field.name for field in SCORE_FIELDS]


def scored(store, rows=range(7), count=7, **changes):
    """A merged and scored run of `count` questions, of which `rows` are answered."""
    run = make_run(store, count, **changes)
    put_part(run, rows)
    merge_run(run, partial=True)
    score_run(run)
    return run


def content(run):
    return run.store.read_bytes(run.feather)


def scores_of(run):
    """Scores by uuid, in the order of the file."""
    table = read_feather(run)
    return dict(zip(table["uuid"].to_pylist(), table.select(COLUMNS).to_pylist(), strict=True))


NOTHING = dict.fromkeys(COLUMNS)


def test_merging_the_same_parts_again_writes_nothing(store):
    run = scored(store)
    before = content(run), os.stat(run.feather_path).st_mtime_ns
    for partial in (False, True):
        merge_run(run, partial)
        assert (content(run), os.stat(run.feather_path).st_mtime_ns) == before


def test_a_merged_file_that_was_deleted_comes_back_with_its_scores(any_store):
    run = scored(any_store)
    before = content(run)
    any_store.delete(run.feather)
    merge_run(run)
    assert content(run) == before
    assert verify_run(run) == []


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("first", [[0, 1, 26], [9], range(29), [*range(12), 20]])
def test_rows_that_are_answered_after_scoring_have_no_scores_until_then(any_store, first):
    run = scored(any_store, first, count=29)
    before = scores_of(run)
    put_part(run, range(29))
    merge_run(run)
    late = 29 - len(first)
    assert unscored_rows(run) == late
    assert scores_of(run) == {f"id{i}": before.get(f"id{i}", NOTHING) for i in range(29)}
    assert verify_run(run) == []
    assert score_run(run).rows == 29
    assert unscored_rows(run) == 0
    assert verify_run(run) == []
    now = content(run)
    any_store.delete(run.feather)
    merge_run(run)
    assert content(run) == now


@pytest.mark.usefixtures("small_batches")
def test_rows_that_are_gone_take_nothing_from_those_that_stay(store):
    run = make_run(store, 29)
    paths = [put_part(run, rows) for rows in (range(5), range(5, 21), range(21, 29))]
    merge_run(run)
    score_run(run)
    before = scores_of(run)
    store.delete(paths[1])
    merge_run(run, partial=True)
    kept = [*range(5), *range(21, 29)]
    assert scores_of(run) == {f"id{i}": before[f"id{i}"] for i in kept}


def test_a_row_that_was_answered_otherwise_since_is_not_scored(store):
    run = scored(store)
    before = scores_of(run)
    store.empty(run.file("parts"))
    answers = [make_answer(run, row) for row in range(7)]
    answers[3] = make_answer(run, 3, error="it broke")
    answers[5] = type(answers[5])(**vars(answers[5]) | {"prediction": "gold 5"})
    write_part(run, make_info(run, range(7), failed=(3,)), answers)
    merge_run(run)
    changed = {"id3": NOTHING, "id5": NOTHING}
    assert scores_of(run) == before | changed
    score_run(run)
    assert scores_of(run)["id5"]["correct_exact"] is True
    assert scores_of(run)["id3"]["correct_exact"] is False


def test_an_answer_of_a_retry_is_not_scored_and_the_others_keep_their_scores(store):
    run = make_run(store, 7)
    put_part(run, range(7), failed=[2])
    merge_run(run)
    score_run(run)
    before = scores_of(run)
    withdraw(run)
    assert scores_of(run) == before
    assert not score_run(run).partial
    put_part(run, [2], attempt=2)
    merge_run(run)
    assert scores_of(run) == before | {"id2": NOTHING}
    assert verify_run(run) == []


@pytest.mark.usefixtures("small_batches")
def test_each_paraphrase_has_its_own_scores(store):
    options = {"name": "per_prompt-3", "method": "per_prompt", "num_paraphrases": 3}
    run = scored(store, range(9), count=9, **options)
    before = content(run)
    store.delete(run.feather)
    merge_run(run)
    assert content(run) == before
    assert unscored_rows(run) == 0


def damage(run, how):
    path = scores_path(run)
    whole = run.store.read_bytes(path)
    frames = whole.replace(b"\x28\xb5\x2f\xfd", b"\0\0\0\0")
    run.store.write_bytes(path, {"cut": whole[:-99], "empty": b"", "frames": frames}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "frames"])
def test_a_damaged_file_of_scores_stops_no_merge_and_is_made_anew(store, how):
    run = scored(store, range(5))
    damage(run, how)
    put_part(run, range(5, 7))
    merge_run(run)
    assert read_feather(run).num_rows == 7
    assert verify_run(run) == []
    score_run(run)
    assert unscored_rows(run) == 0
    assert verify_run(run) == []


def test_a_run_that_takes_the_place_of_a_scored_one_is_not_scored(any_store):
    run = scored(any_store)
    run.delete()
    assert all_files(any_store) == []
    again = make_run(any_store)
    put_part(again, range(7))
    merge_run(again)
    assert META_SCORES not in read_feather(again).schema.metadata


def test_scores_of_another_record_of_the_run_are_not_believed(store):
    run = scored(store)
    kept = store.read_bytes(scores_path(run))
    run.delete()
    again = make_run(store, max_new_tokens=9)
    store.write_bytes(scores_path(again), kept)
    put_part(again, range(7))
    merge_run(again)
    assert META_SCORES not in read_feather(again).schema.metadata


def test_a_merge_that_ends_after_scoring_has_its_scores(store, monkeypatch):
    """The file of before is scored while the merge reads."""
    run = make_run(store, 7)
    put_part(run, range(5))
    merge_run(run, partial=True)
    put_part(run, range(5, 7))
    windows = merge.merged_windows

    def scored_meanwhile(of, *others):
        monkeypatch.setattr(merge, "merged_windows", windows)
        score_run(of)
        yield from windows(of, *others)

    monkeypatch.setattr(merge, "merged_windows", scored_meanwhile)
    merge_run(run)
    assert unscored_rows(run) == 2
    assert list(scores_of(run).values()).count(NOTHING) == 2
    assert verify_run(run) == []


def test_scores_edited_in_the_merged_file_are_found_and_merged_away(store):
    run = scored(store)
    before = read_feather(run)
    index = before.schema.names.index("correct_exact")
    right = pa.array([True] * 7)
    edited = before.set_column(index, before.schema.field(index), right)
    with store.write(run.feather) as sink, pa.ipc.new_file(sink, edited.schema) as writer:
        writer.write_table(edited)
    assert verify_run(run) == ["rows: the file's rows are not those of the parts"]
    merge_run(run, anew=True)
    assert read_feather(run) == before

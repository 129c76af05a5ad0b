"""producer.scoring.score: the columns of a scored file, and what scoring leaves as it was."""

import json
import weakref
from dataclasses import replace

import pyarrow as pa
import pytest

from common.schema import META_SCORES
from common.store import merge, merge_run, read_progress, snapshot, verify_run
from common.store.parts import write_part
from producer.scoring import score
from producer.scoring.score import score_run
from producer.waiting import merge_unless_merged
from tests.common.storekit import (
    all_files,
    make_answer,
    make_info,
    make_run,
    memory_store,
    put_part,
    read_feather,
    shards,
)

SCORES = {
    "predict_lemma": pa.list_(pa.string()), "answer_lemmas": pa.list_(pa.list_(pa.string())),
    "correct_exact": pa.bool_(), "correct_f1": pa.float64(), "correct_lemma": pa.bool_(),
}  # fmt: skip
PREDICTIONS = {0: "The Gold 0!", 2: "golds 2", 3: "x y z", 5: "", 6: "2 golds"}


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of 4 samples, windows of 8 and slices of 3: small runs cross every border."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "WINDOW_ROWS", 8)
    monkeypatch.setattr(score, "SLICE_ROWS", 3)


def answered(store, count=7, failed=(1,), predictions=PREDICTIONS, **changes):
    """A merged run; predictions[i], where there is one, is its answer to question i."""
    run = make_run(store, count, **changes)
    paraphrases = range(run.spec.num_paraphrases if run.method.row_per_paraphrase else 1)
    for rows in shards(range(count), 5):
        put_answers(run, rows, paraphrases, failed, predictions)
    merge_run(run)
    return run


def put_answers(run, rows, paraphrases, failed, predictions):
    answers = [
        make_answer(run, row, w, "it broke" if row in failed else None)
        for row in rows
        for w in paraphrases
    ]
    texts = [predictions.get(a.row, a.prediction) if a.error is None else None for a in answers]
    answers = [replace(a, prediction=text) for a, text in zip(answers, texts, strict=True)]
    failures = tuple(set(rows) & set(failed))
    write_part(run, make_info(run, rows, failed=failures), answers)


def content(run):
    return run.store.read_bytes(run.feather)


def test_the_scores_of_each_row_are_those_worked_out_by_hand(store):
    """Gold answers of question i: `gold i` and `x`."""
    run = answered(store)
    scores = score_run(run)
    table = read_feather(run).to_pydict()
    assert table["predict_lemma"] == [
        ["gold", "0"], None, ["gold", "2"], ["x", "y", "z"], ["answer", "40"], [], ["2", "gold"]
    ]  # fmt: skip
    assert table["answer_lemmas"] == [[["gold", str(i)], ["x"]] for i in range(7)]
    assert table["correct_exact"] == [True] + 6 * [False]
    assert table["correct_f1"] == pytest.approx([1, 0, 1 / 2, 1 / 2, 0, 0, 0], rel=1e-15)
    assert table["correct_lemma"] == [True, False, True, True, False, False, False]
    assert (scores.rows, scores.failed, scores.partial) == (7, 1, False)
    assert (scores.exact, scores.f1, scores.lemma) == pytest.approx((1 / 7, 2 / 7, 3 / 7))


def test_columns_are_added_at_the_end_in_this_order_with_these_types(store):
    run = answered(store)
    before = read_feather(run)
    score_run(run)
    after = read_feather(run)
    own = after.schema.names[: before.num_columns]
    assert own == before.schema.names
    added = list(zip(after.schema.names, after.schema.types, strict=True))[before.num_columns :]
    assert added == list(SCORES.items())
    assert after.select(own).replace_schema_metadata() == before.replace_schema_metadata()


def test_metadata_is_kept_and_tells_what_the_scores_were_made_with(store):
    run = answered(store)
    before = read_feather(run).schema.metadata
    score_run(run)
    after = read_feather(run).schema.metadata
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {META_SCORES}
    used = json.loads(after[META_SCORES])
    assert set(used) == {"scoring", "simplemma", "language"}
    assert used["simplemma"].count(".") == 2


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("count", [1, 3, 8, 29])
def test_any_number_of_rows_on_any_file_system_is_scored_and_verified(count):
    run = answered(memory_store(), count, failed=[4])
    scores = score_run(run)
    table = read_feather(run)
    assert table["correct_exact"].to_pylist() == [i == 0 for i in range(count)]
    assert scores.rows == table.num_rows == count
    assert verify_run(run) == []
    assert not [path for path in all_files(run.store) if path.endswith(".tmp")]


@pytest.mark.usefixtures("small_batches")
def test_a_row_per_paraphrase_is_scored_by_itself(store):
    options = {"name": "per_prompt-3", "method": "per_prompt", "num_paraphrases": 3}
    run = answered(store, 9, **options)
    scores = score_run(run)
    right = [i == 0 for i in range(9) for _ in range(3)]
    assert read_feather(run)["correct_exact"].to_pylist() == right
    assert (scores.rows, scores.failed) == (27, 3)
    assert scores.exact == pytest.approx(1 / 9)
    assert verify_run(run) == []


def test_a_partial_run_is_scored_and_marked_as_partial(store):
    run = make_run(store, 7)
    put_part(run, [0, 5])
    merge_run(run, partial=True)
    assert (score_run(run).partial, score_run(run).rows) == (True, 2)


def test_a_partial_run_without_rows_has_columns_and_no_figures(store):
    run = make_run(store, 3)
    merge_run(run, partial=True)
    scores = score_run(run)
    assert (scores.rows, scores.exact, scores.f1, scores.lemma) == (0, None, None, None)
    assert read_feather(run).schema.names[-5:] == list(SCORES)
    assert verify_run(run) == []


def test_scoring_again_changes_nothing(store, monkeypatch):
    run = answered(store)
    first = score_run(run)
    before = content(run)
    monkeypatch.setattr(score, "_write_scores", None)
    assert score_run(run) == first
    assert content(run) == before


@pytest.mark.usefixtures("small_batches")
def test_scores_of_other_versions_are_made_anew_into_the_very_same_file(store, monkeypatch):
    run = answered(store, 19)
    score_run(run)
    now = content(run)
    with monkeypatch.context() as earlier:
        earlier.setattr(score, "SCORING_VERSION", 0)
        earlier.setattr(score, "token_f1", lambda *_: 0.25)
        score_run(run)
    assert content(run) != now
    assert set(read_feather(run)["correct_f1"].to_pylist()) == {0.25}
    score_run(run)
    assert content(run) == now


def test_the_same_rows_merged_again_are_scored_into_the_very_same_file(store):
    run = answered(store)
    score_run(run)
    before = content(run)
    merge_run(run)
    assert META_SCORES not in read_feather(run).schema.metadata
    score_run(run)
    assert content(run) == before


@pytest.mark.usefixtures("small_batches")
def test_a_scored_file_still_holds_and_is_not_merged_again_at_the_end_of_a_session(store):
    run = answered(store, 19)
    score_run(run)
    before = content(run)
    assert verify_run(run) == []
    assert read_progress(run).state == "merged"
    merge_unless_merged(run)
    assert content(run) == before


def test_an_answer_edited_after_scoring_is_still_found(store):
    run = answered(store)
    score_run(run)
    table = read_feather(run)
    index = table.schema.names.index("prediction")
    edited = pa.array(["gold 0"] * 7, pa.string())
    table = table.set_column(index, table.schema.field(index), edited)
    with run.store.write(run.feather) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert verify_run(run) == ["rows: the file's rows are not those of the parts"]


class OneBatchAtATime:
    """A reader that fails when a batch is asked for while an earlier one is still held."""

    def __init__(self, reader):
        self.schema, self.num_record_batches = reader.schema, reader.num_record_batches
        self.reader, self.last, self.read = reader, lambda: None, []

    def get_batch(self, number):
        assert self.last() is None
        batch = self.reader.get_batch(number)
        self.last = weakref.ref(batch)
        self.read.append(len(batch))
        return batch


@pytest.mark.usefixtures("small_batches")
def test_no_two_batches_are_held_at_once_and_they_keep_their_sizes(store):
    run = answered(store, 29)
    reader = OneBatchAtATime(run.store.open_arrow(run.feather))
    score._write_scores(run, reader)
    after = run.store.open_arrow(run.feather)
    sizes = [len(after.get_batch(number)) for number in range(after.num_record_batches)]
    assert reader.read == sizes == [8, 8, 8, 5]

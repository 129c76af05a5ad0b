"""Merged files of paraphrases and of confidences: columns, rows, manifests."""

import json

import pyarrow as pa
import pytest

from common.schema import META_MANIFEST
from common.store import merge_run, verify_run
from tests.common.stepkit import (
    confidence_of,
    make,
    paraphrase,
    plan,
    put_confidences,
    put_paraphrases,
    questions,
)
from tests.common.storekit import read_feather

COUNT = 11


@pytest.fixture
def written(any_store, small_batches):
    """Paraphrases in three parts; row 3 failed, the last paraphrase of row 9 is empty."""
    (run,) = make(any_store, plan("paraphrases"), samples=questions(COUNT))
    put_paraphrases(run, [8, 9, 10], bad={9: ""})
    put_paraphrases(run, [0, 2, 4, 6])
    put_paraphrases(run, [1, 3, 5, 7], failed=[3])
    merge_run(run)
    return run


@pytest.fixture
def measured(any_store, small_batches):
    """Confidences of questions with three paraphrases, two of them manual; row 4 failed."""
    samples = questions(COUNT, paraphrases=3, num_manual=2)
    (run,) = make(any_store, plan("confidence"), samples=samples)
    put_confidences(run, range(5, COUNT))
    put_confidences(run, range(5), failed=[4])
    merge_run(run)
    return run


def test_columns_of_paraphrases_are_these_in_this_order_with_these_types(written):
    texts = pa.list_(pa.string())
    assert read_feather(written).schema.remove_metadata() == pa.schema(
        [
            pa.field("uuid", pa.string(), nullable=False),
            pa.field("question", pa.string(), nullable=False),
            ("paraphrases", texts),
            pa.field("answers", texts, nullable=False),
            ("problems", texts), ("attempts", pa.list_(pa.int32())), ("error", pa.string()),
            ("error_kind", pa.string()),
        ]
    )  # fmt: skip


def test_a_row_of_paraphrases_is_a_question_with_what_was_written_for_it(written):
    rows = read_feather(written).to_pylist()
    assert [row["uuid"] for row in rows] == [f"id{row}" for row in range(COUNT)]
    assert rows[7] == {
        "uuid": "id7",
        "question": "what is 7?",
        "paraphrases": [paraphrase(7, w) for w in range(3)],
        "answers": ["gold 7"],
        "problems": [None, None, None],
        "attempts": [0, 1, 1],
        "error": None,
        "error_kind": None,
    }


def test_what_stayed_wrong_is_marked_in_its_row_not_hidden(written):
    rows = read_feather(written).to_pylist()
    assert rows[9]["paraphrases"] == ["what is 9?", "9 is what, 1?", ""]
    assert rows[9]["problems"] == [None, None, "empty"]
    assert rows[9]["error"] is None
    assert (rows[3]["error"], rows[3]["error_kind"]) == ("too long", "sample")
    assert (rows[3]["question"], rows[3]["paraphrases"]) == ("what is 3?", ["what is 3?"])
    assert (rows[3]["problems"], rows[3]["attempts"]) == (None, None)


def test_columns_of_confidences_are_those_of_answers_and_two_more(measured):
    assert read_feather(measured).column_names == [
        "uuid", "paraphrases", "answers", "num_manual", "paraphrase", "prompt", "prediction",
        "generation", "reasoning", "tokens", "token_logprobs", "logprob", "finish_reason",
        "confidence", "sampled", "error", "error_kind",
    ]  # fmt: skip


def test_confidences_have_a_row_for_each_paraphrase(measured):
    rows = read_feather(measured).to_pylist()
    assert len(rows) == 3 * COUNT
    for number, row in enumerate(rows):
        sample, w = divmod(number, 3)
        assert (row["uuid"], row["paraphrase"]) == (f"id{sample}", paraphrase(sample, w))
        failed = sample == 4
        assert row["confidence"] == (None if failed else confidence_of(sample, w))
        assert row["error"] == ("empty" if failed else None)
        assert row["num_manual"] == 2


@pytest.mark.parametrize("step", ["written", "measured"])
def test_the_manifest_counts_questions_and_holds(any_store, request, step):
    run = request.getfixturevalue(step)
    assert verify_run(run) == []
    metadata = run.store.open_arrow(run.feather).schema.metadata
    claimed = json.loads(metadata[META_MANIFEST])
    counts = (claimed["expected"], claimed["found"], claimed["failed"], claimed["partial"])
    assert counts == (COUNT, COUNT, 1, False)


@pytest.mark.parametrize(
    ("step", "column", "cell"),
    [
        ("written", "question", "else?"),
        ("written", "error", "x"),
        ("measured", "confidence", 0.123),
    ],
)
def test_a_changed_cell_is_found(any_store, request, step, column, cell):
    run = request.getfixturevalue(step)
    table = read_feather(run)
    place = table.column_names.index(column)
    cells = [cell, *table[column].to_pylist()[1:]]
    changed = table.set_column(place, table.field(column), pa.array(cells, table[column].type))
    with run.store.write(run.feather) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(changed)
    assert verify_run(run) == ["rows: the file's rows are not those of the parts"]

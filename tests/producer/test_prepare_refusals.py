"""producer.prepare.prepare: what is refused is refused before anything is left in the store."""

import json

import pytest

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from common.store.snapshot import SNAPSHOT_BATCH_ROWS
from producer.datasets.dataset import Dataset
from producer.datasets.readers.rows import Row
from producer.prepare import prepare
from tests.common.storekit import all_files


@pytest.mark.parametrize(("wanted", "method"), [(4, "avg"), (64, "flex_attention")])
def test_too_few_paraphrases_are_refused_with_the_count_there_is(ask, store, wanted, method):
    with pytest.raises(UsageError) as refused:
        prepare(ask(methods=("origin", method), num_paraphrases=wanted), store)
    message = str(refused.value)
    assert f"quiz.jsonl, row 1: {method} was asked for {wanted} paraphrases" in message
    assert "the question has 3 in all" in message
    assert all_files(store) == []


def test_the_first_question_with_too_few_paraphrases_is_named(ask, store, jsonl):
    rows = [{"question": f"q{i}?", "answers": ["a"], "paraphrases": ["p?"]} for i in range(5)]
    rows[3]["paraphrases"] = ["q3?"]
    with pytest.raises(UsageError, match=r"row 4: .* 2 paraphrases .* has 1 in all"):
        prepare(ask(data=jsonl(rows), num_paraphrases=2), store)
    assert all_files(store) == []


def test_origin_needs_the_question_alone(ask, store, jsonl):
    data = jsonl([{"question": "q?", "answers": ["a"]}])
    prepared = prepare(ask(data=data, methods=("origin",), num_paraphrases=5), store)
    (run,) = prepared.runs
    assert run.read_samples([0])[0].paraphrases == ("q?",)
    assert prepared.all_runs == prepared.runs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "no such model"}, "not in the registry"),
        ({"methods": ("avg", "vote")}, "method 'vote' is not known"),
        ({"dataset": "unknown", "data": None}, "--dataset 'unknown' is not known"),
        ({"dataset": "../up"}, "letters, digits"),
        ({"dataset": "a/b"}, "letters, digits"),
    ],
)
def test_a_name_that_cannot_be_used_leaves_nothing(ask, store, changes, reason):
    with pytest.raises(UsageError, match=reason):
        prepare(ask(**changes), store)
    assert all_files(store) == []


@pytest.mark.parametrize("number", [1, 8])
def test_a_bad_question_in_the_middle_leaves_nothing(ask, store, quiz, number):
    lines = quiz.read_text().splitlines()
    lines[number - 1] = json.dumps({"question": "q?", "paraphrases": ["a?", "b?"]})
    quiz.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=f"quiz.jsonl, row {number}: column 'answers'"):
        prepare(ask(methods=("origin", "avg", "per_prompt")), store)
    assert all_files(store) == []


def test_a_data_set_that_is_interrupted_leaves_nothing(ask, store, monkeypatch):
    """The interrupt comes after the first batch has been written to a staging file."""

    def rows():
        for i in range(SNAPSHOT_BATCH_ROWS + 3):
            cells = {"question": f"q{i}?", "answers": ["a"], "paraphrases": ["b?", "c?"]}
            yield Row("quiz", i + 1, cells)
        raise KeyboardInterrupt

    dataset = Dataset("quiz", QUESTION_ANSWERING, rows, lambda _: [], 0, "")
    monkeypatch.setattr("producer.request.open_dataset", lambda *_: dataset)
    with pytest.raises(KeyboardInterrupt):
        prepare(ask(methods=("origin", "avg")), store)
    assert all_files(store) == []


def test_a_store_that_is_a_file_is_refused_before_the_questions_are_read(ask, tmp_path, store):
    (tmp_path / "store").write_text("mine")
    with pytest.raises(UsageError, match="cannot be written"):
        prepare(ask(data=tmp_path / "nowhere.jsonl"), store)
    assert (tmp_path / "store").read_text() == "mine"


def test_staging_files_of_others_are_left_alone(ask, store):
    store.write_bytes(".staging/of-somebody.arrow", b"x")
    prepare(ask(), store)
    with pytest.raises(UsageError):
        prepare(ask(max_new_tokens=9), store)
    assert [p for p in all_files(store) if p.startswith(".")] == [".staging/of-somebody.arrow"]

"""Columns whose names promise answers or paraphrases are read, or named."""

import pyarrow as pa
import pytest
from pyarrow import feather

from producer.datasets import open_dataset
from producer.datasets.stream import SampleStream

ROW = {"question": "q?", "answers": ["a"], "paraphrases": ["p?"]}
ALIKE = [
    "aliases", "answer_aliases", "paraphrase_0", "paraphrase-1", "gold", "targets",
    "possible_answers", "Answers", "goldAnswers", "ANSWER", "answer",
]  # fmt: skip
OTHERS = ["context", "answer_start", "num_answers", "id", "label", "paraphrase_type", "golden"]


def notes(path, dataset="quiz"):
    stream = SampleStream(
        open_dataset(dataset, path), open_dataset(dataset, path).default_selection, None
    )
    assert list(stream)
    return stream.notes


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("suffix", ["jsonl", "feather"])
def test_a_column_that_looks_like_answers_or_paraphrases_is_named(jsonl, tmp_path, name, suffix):
    row = ROW | {name: ["x"]}
    path = jsonl([row])
    if suffix == "feather":
        path = tmp_path / "q.feather"
        feather.write_feather(pa.Table.from_pylist([row]), str(path))
    (note,) = notes(path)
    assert f"promise answers or paraphrases: {name!r}; read: 'answers', 'paraphrases'" in note
    assert "docs/datasets.md" in note


@pytest.mark.parametrize("name", OTHERS)
def test_other_columns_are_passed_over_in_silence(jsonl, name):
    assert notes(jsonl([ROW | {name: ["x"]}])) == ()


def test_a_column_that_only_a_late_row_has_is_named_too(jsonl):
    rows = [ROW | {"uuid": str(n)} for n in range(5)]
    (note,) = notes(jsonl([*rows, ROW | {"uuid": "last", "gold": "x"}]))
    assert "'gold'" in note


def test_numbered_columns_beside_a_list_of_paraphrases_are_named(jsonl):
    (note,) = notes(jsonl([ROW | {"paraphrase0": "other?"}]))
    assert "'paraphrase0'" in note


def test_columns_that_are_read_in_one_row_alone_are_read(jsonl):
    rows = [
        {"question": "q?", "answer": "a", "paraphrases": None, "paraphrase0": "p?"},
        {"question": "r?", "answers": ["a"], "paraphrases": ["p?"], "paraphrase0": None},
    ]
    assert notes(jsonl(rows)) == ()


def test_every_data_set_names_what_of_its_files_it_does_not_read(jsonl):
    fact = {
        "uuid": "u-1", "answers": ["a"], "manual_paraphrases": ["m [MASK]"] * 5,
        "auto_paraphrases": ["[MASK] a"] * 5, "paraphrases": ["p?"],
    }  # fmt: skip
    (note,) = notes(jsonl([fact]), "myriadlama")
    assert "'paraphrases'; read: 'answers', 'auto_paraphrases'" in note


@pytest.mark.parametrize("answer", ["1984.0", "-7.0"])
def test_a_whole_number_that_was_written_as_a_float_is_named(tmp_path, answer):
    """As pandas writes a column of whole numbers with a gap to CSV."""
    path = tmp_path / "q.csv"
    path.write_text(f"question,answer\nq?,3.5\nr?,{answer}\ns?,{answer}\n")
    (note,) = notes(path)
    assert f"an answer is written like 1984.0 ({path}, row 3, and maybe others)" in note


@pytest.mark.parametrize("answer", ["1984", "3.10", "1.0.0", "v1.0", "0.05"])
def test_other_numbers_in_text_are_taken_in_silence(jsonl, answer):
    assert notes(jsonl([ROW | {"answers": answer}])) == ()


def test_the_note_is_said_when_a_data_set_is_enqueued(jsonl, command, server):
    path = jsonl([ROW | {"answer_aliases": ["b"]}])
    options = ["--num-few-shot", 0, "--num-paraphrases", 2, "--model", "owner/model"]
    outcome = command("enqueue", "--dataset", "quiz", "--data", path, *options)
    assert outcome.status == 0
    assert "columns not read, though" in outcome.out
    assert "'answer_aliases'" in outcome.out

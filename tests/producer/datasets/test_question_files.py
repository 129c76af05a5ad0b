"""producer.datasets.readers.questions: the same samples from three formats of question files."""

import json

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from common.records import Sample
from producer.datasets.readers.questions import read_question
from producer.datasets.readers.rows import Row
from tests.producer.datasets.filekit import peak_of_reading, read_samples

ROWS = [
    {"question": "wer?", "answers": ["er", "sie"], "uuid": "u-1", "paraphrases": ["wer denn?"]},
    {"question": "où est 東京?", "answers": ["là"], "uuid": None, "paraphrases": []},
    {"question": "what is\n1+1?", "answers": ["2"], "uuid": "u-3", "paraphrases": None},
]
SAMPLES = [
    Sample(("wer?", "wer denn?"), ("er", "sie"), "u-1"),
    Sample(("où est 東京?",), ("là",)),
    Sample(("what is\n1+1?",), ("2",), "u-3"),
]


def read(question, **cells):
    return read_question(Row("quiz.jsonl", 1, {"question": question, "answers": ["x"]} | cells))


def write(path, rows, default_chunks=False):
    chunk = None if default_chunks else 2
    if path.suffix.lower() == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix.lower() == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=chunk)
    else:
        feather.write_feather(pa.Table.from_pylist(rows), str(path), chunksize=chunk)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".feather", ".JSONL", ".Parquet"])
def test_every_format_gives_the_same_samples(tmp_path, suffix):
    assert list(read_samples(write(tmp_path / f"q{suffix}", ROWS))) == SAMPLES


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".feather"])
def test_numbered_columns_are_paraphrases_in_the_order_of_their_numbers(tmp_path, suffix):
    row = {"question": "q?", "answers": ["a"]}
    row |= {f"paraphrase{n}": f"paraphrase {n}" for n in (10, 2, 0)} | {"paraphrase3": None}
    (sample,) = read_samples(write(tmp_path / f"q{suffix}", [row]))
    assert sample.paraphrases == ("q?", "paraphrase 0", "paraphrase 2", "paraphrase 10")


def test_a_list_of_paraphrases_goes_before_numbered_columns(jsonl):
    row = {"question": "q?", "answers": ["a"], "paraphrases": ["p?"], "paraphrase0": "other?"}
    (sample,) = read_samples(jsonl([row]))
    assert sample.paraphrases == ("q?", "p?")


def test_one_answer_may_stand_without_a_list(jsonl):
    (sample,) = read_samples(jsonl([{"question": "q?", "answers": "a, b"}]))
    assert sample.answers == ("a, b",)


def test_one_answer_may_stand_in_a_column_of_its_own(jsonl):
    (sample,) = read_samples(jsonl([{"question": "q?", "answer": "a, b"}]))
    assert sample.answers == ("a, b",)


@pytest.mark.parametrize(
    "row", [{"paraphrases": ["a?", "b?"]}, {"paraphrase1": "b?", "paraphrase0": "a?"}]
)
def test_without_a_question_the_first_paraphrase_is_it(jsonl, row):
    (sample,) = read_samples(jsonl([row | {"answers": ["x"]}]))
    assert sample.paraphrases == ("a?", "b?")


def test_other_columns_and_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('\n{"question": "q?", "answers": ["a"], "url": 7, "paraphraseX": 1}\n\n \n')
    assert list(read_samples(path)) == [Sample(("q?",), ("a",))]


def test_a_file_is_read_as_it_is_asked_for(tmp_path):
    """The last line is no JSON, and that is nobody's business before it is reached."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "q?", "answers": ["a"]}\n' * 3 + "oops\n")
    samples = read_samples(path)
    assert [next(samples).paraphrases for _ in range(3)] == [("q?",)] * 3


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".feather"])
def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path, suffix):
    """20,000 questions of 200 bytes; written as the libraries write them if nothing is said."""
    row, rows = {"question": "q" * 200, "answers": ["a" * 50]}, 20_000
    path = write(tmp_path / f"q{suffix}", [row] * rows, default_chunks=True)
    assert peak_of_reading(path, rows) < rows * 200 / 2


@pytest.mark.parametrize(
    ("others", "all_of_them"),
    [
        ((), ("q?",)),
        (("a?", "b?"), ("q?", "a?", "b?")),
        (("q?", "a?"), ("q?", "a?")),
        (("a?", "q?", "b?", "q?"), ("q?", "a?", "b?")),
        (("Q?", "q? "), ("q?", "Q?", "q? ")),
    ],
)
def test_paraphrases_are_the_question_first_and_it_is_not_repeated(others, all_of_them):
    assert read("q?", paraphrases=list(others)).paraphrases == all_of_them


def test_a_missing_uuid_is_the_md5_of_the_question():
    """Checked with: printf 'who is Zoë?' | md5sum"""
    sample = read("who is Zoë?", paraphrases=["another paraphrase?"])
    assert sample.uuid == "3b96fc6d7b262e10cd5132fabc019d15"


def test_a_given_uuid_is_kept():
    assert read("q?", uuid="mine").uuid == "mine"

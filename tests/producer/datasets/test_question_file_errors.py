"""Question files: every error is one UsageError with file, row and column."""

import json

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from common.errors import UsageError
from tests.producer.datasets.filekit import read_samples

GOOD = {"question": "q?", "answers": ["a"]}
OTHER_SUFFIXES = ["q.json", "q.xlsx", "q.txt", "q", "q.gz", "q.jsonl.bz2"]

BAD_ROWS = [
    ({"answers": ["a"]}, "question", "is missing"),
    ({"question": None, "answers": ["a"]}, "question", "is missing"),
    ({"question": "", "answers": ["a"]}, "question", "is ''"),
    ({"question": " \t", "answers": ["a"]}, "question", "is ' \\t'"),
    ({"question": 7, "answers": ["a"]}, "question", "is 7"),
    ({"question": ["q?"], "answers": ["a"]}, "question", "is ['q?']"),
    ({"question": "q?"}, "answers", "is missing"),
    ({"question": "q?", "answers": None}, "answers", "is missing"),
    ({"question": "q?", "answers": []}, "answers", "is []"),
    ({"question": "q?", "answers": [1, True]}, "answers", "is [1, True]"),
    ({"question": "q?", "answers": ["a", None]}, "answers", "None"),
    ({"question": "q?", "answers": {"a": 1}}, "answers", "is {'a': 1}"),
    (GOOD | {"uuid": 7}, "uuid", "is 7"),
    (GOOD | {"uuid": ""}, "uuid", "is ''"),
    (GOOD | {"paraphrases": "p?"}, "paraphrases", "is 'p?'"),
    (GOOD | {"paraphrases": [None]}, "paraphrases", "is [None]"),
    (GOOD | {"paraphrase0": "p?", "paraphrase1": 1}, "paraphrase1", "is 1"),
    (GOOD | {"paraphrase0": " "}, "paraphrase0", "is ' '"),
]


def complaint(path):
    with pytest.raises(UsageError) as refused:
        list(read_samples(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(("row", "column", "got"), BAD_ROWS)
def test_a_bad_cell_is_named_by_file_row_and_column(jsonl, row, column, got):
    message = complaint(jsonl([GOOD, GOOD, row, GOOD]))
    assert f", row 3: column {column!r} must be " in message
    assert got in message


@pytest.mark.parametrize(
    ("write", "suffix"),
    [(parquet.write_table, "parquet"), (lambda t, p: feather.write_feather(t, str(p)), "feather")],
)
def test_a_bad_cell_of_a_table_is_named_alike(tmp_path, write, suffix):
    path = tmp_path / f"q.{suffix}"
    write(pa.table({"question": ["q?", None], "answers": [["a"], ["b"]]}), path)
    assert ", row 2: column 'question' must be " in complaint(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"question,answers", "not JSON"),
        (b'{"question": "caf\xe9?", "answers": ["a"]}', "not UTF-8"),
        (b"\xff\xfe", "not UTF-8"),
        (b'["q?", ["a"]]', "must be a JSON object"),
        (b'"q?"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_a_line_that_is_no_object_is_named_by_its_row(tmp_path, line, reason):
    path = tmp_path / "q.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    assert f", row 2: {reason}" in complaint(path)


def test_half_of_a_character_is_no_text(tmp_path):
    """Valid JSON, and no UTF-8 can be made of it: neither a hash nor an Arrow column."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "is \\ud83d one?", "answers": ["a"]}\n')
    assert ", row 1: column 'question' must be " in complaint(path)


@pytest.mark.parametrize("bad", ['{"answers": ["a"]}', "oops"])
def test_blank_lines_shift_the_row_numbers_of_all_complaints_alike(tmp_path, bad):
    path = tmp_path / "q.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{bad}\n")
    assert ", row 3: " in complaint(path)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "feather"])
def test_a_file_without_rows_is_refused(tmp_path, suffix):
    path = tmp_path / f"q.{suffix}"
    empty = pa.table({"question": pa.array([], pa.string())})
    if suffix == "jsonl":
        path.write_text("\n\n")
    elif suffix == "parquet":
        parquet.write_table(empty, path)
    else:
        feather.write_feather(empty, str(path))
    assert complaint(path).endswith("has no rows")


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize("content", [b"", b"{}", b"no table at all, only text\n"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"q.{suffix}"
    path.write_bytes(content)
    assert "file" in complaint(path)


@pytest.mark.parametrize("name", OTHER_SUFFIXES)
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path, name):
    (tmp_path / name).write_text(json.dumps(GOOD))
    assert ".jsonl, .parquet, .feather" in complaint(tmp_path / name)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    assert "does not exist" in complaint(tmp_path / name)

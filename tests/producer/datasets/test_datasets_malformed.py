"""Malformed files: one sentence with file, row and column, status 2, nothing sent or written."""

import json

import pyarrow as pa
import pytest
import redis
from pyarrow import feather, parquet

from common.store import StoreFilesystem
from tests.common.storekit import all_files
from tests.producer.datasets.filekit import refusals_of_flipped_bytes

QUESTION = {"uuid": "u-1", "question": "q?", "answers": ["a"], "paraphrases": ["p?"] * 4}
FACT = {
    "uuid": "u-1", "answers": ["a"], "manual_paraphrases": ["m [MASK]"],
    "auto_paraphrases": ["[MASK] a"],
}  # fmt: skip
PARAREL = {"uuid": "u-1", "answers": ["a"], "paraphrases": [f"{i} [MASK]" for i in range(5)]}
GROUP = {
    "id": "u-1", "answers": ["a"], "function": "none", "n_question_level": 5,
    "paraphrases": [{"qid": f"{i}00", "text": f"{i}?"} for i in range(5)],
}  # fmt: skip
GOOD = {"quiz": QUESTION, "myriadlama": FACT, "pararel": PARAREL, "graphquestions": GROUP}


@pytest.fixture
def refusal(command, tmp_path, monkeypatch, broker_url):
    """The error of `producer enqueue` for a file; checks that it wrote and sent nothing."""
    url = f"{broker_url.removesuffix('/0')}/11"
    monkeypatch.setenv("SELF_ENSEMBLE_BROKER", url)
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path / "runs"))
    server = redis.Redis.from_url(url)
    server.flushdb()

    def run(dataset, path):
        outcome = command("enqueue", "--dataset", dataset, "--data", path, "--num-few-shot", 0)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert str(path) in outcome.err
        assert all_files(StoreFilesystem.open(str(tmp_path / "runs"))) == []
        assert server.keys("*") == []
        return outcome.err

    return run


def changed(row, column, value):
    cells = {k: v for k, v in row.items() if k != column} | {"uuid": "u-2", "id": "u-2"}
    return cells if value is None else cells | {column: value}


CELLS = [
    *[(name, "answers", value) for name in GOOD for value in (None, True, [], [None], [""])],
    ("quiz", "question", "  "),
    ("quiz", "paraphrases", ["", "p?"]),
    ("quiz", "uuid", ["u"]),
    ("myriadlama", "manual_paraphrases", None),
    ("myriadlama", "auto_paraphrases", "[MASK] a"),
    ("myriadlama", "auto_paraphrases", ["no mask"]),
    ("myriadlama", "manual_paraphrases", ["[MASK] is [MASK]"]),
    ("pararel", "paraphrases", ["[MASK]", "no mask"]),
    ("pararel", "paraphrases", None),
    ("graphquestions", "paraphrases", [{"qid": "x", "text": "y"}]),
    ("graphquestions", "function", 3),
]


@pytest.mark.parametrize(("dataset", "column", "value"), CELLS)
def test_a_bad_cell_is_one_sentence_and_nothing_is_enqueued(
    refusal, jsonl, dataset, column, value
):
    path = jsonl([GOOD[dataset], changed(GOOD[dataset], column, value)])
    assert f"questions.jsonl, row 2: column {column!r} must " in refusal(dataset, path)


@pytest.mark.parametrize("dataset", GOOD)
def test_two_rows_with_one_uuid_are_both_named(refusal, jsonl, dataset):
    row = GOOD[dataset]
    other = row | {"uuid": "u-3", "id": "u-3", "question": "other?"}
    message = refusal(dataset, jsonl([other, row, other, row]))
    assert "questions.jsonl, row 3: column 'uuid' must differ from row to row, 'u-3' is" in message
    assert message.endswith("that of row 1 too\n")


def test_the_same_question_twice_is_refused_where_there_is_no_uuid(refusal, jsonl):
    rows = [{k: v for k, v in QUESTION.items() if k != "uuid"}] * 2
    message = refusal("quiz", jsonl(rows))
    assert (
        "row 2: column 'question' must differ from row to row where there is no 'uuid'" in message
    )
    assert "'q?' is that of row 1 too" in message


BYTES = [
    (b"", "has no rows"),
    (b"\n \n", "has no rows"),
    (b'{"question": "caf\xe9?"}\n', "row 1: not UTF-8"),
    (b'{"question": "q?"\n', "row 1: not JSON"),
    (b'{"question": ' + b"9" * 5000 + b"}\n", "row 1: column 'question' must be"),
    (b'{"question": ' + b"[" * 100_000 + b"\n", "row 1: not JSON"),
    (b"[1]\n", "row 1: must be a JSON object"),
]


@pytest.mark.parametrize(("content", "reason"), BYTES, ids=[reason for _, reason in BYTES])
def test_a_file_that_is_no_jsonl_is_one_sentence(refusal, tmp_path, content, reason):
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    assert reason in refusal("quiz", path)


def write_table(path, table):
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, str(path))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("answers", pa.array([[b"1"], [b"2"]])),
        ("answers", pa.array([float("inf"), 2.5])),
        ("question", pa.array([b"q?", b"r?"])),
        ("question", pa.array([True, False])),
        ("uuid", pa.array([1, 2])),
        ("paraphrases", pa.array([[["p?"]], [["p?"]]])),
    ],
)
def test_a_table_with_columns_of_another_type_is_one_sentence(
    refusal, tmp_path, suffix, column, values
):
    columns = {"question": ["q?", "r?"], "answers": [["a"], ["b"]]} | {column: values}
    path = write_table(tmp_path / f"q{suffix}", pa.table(columns))
    assert f"q{suffix}, row 1: column {column!r} must be a " in refusal("quiz", path)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_truncated_table_is_one_sentence(refusal, tmp_path, suffix):
    path = write_table(tmp_path / f"q{suffix}", pa.table({"question": ["q?"], "answers": [["a"]]}))
    path.write_bytes(path.read_bytes()[:-20])
    assert "or a damaged one" in refusal("quiz", path)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_table_with_flipped_bytes_is_read_or_refused_and_never_a_traceback(tmp_path, suffix):
    table = pa.table({"question": [f"q{i}?" for i in range(99)], "answers": [["a"]] * 99})
    path = write_table(tmp_path / f"q{suffix}", table)
    assert refusals_of_flipped_bytes(path, path.read_bytes()) > 20


def test_a_cell_that_is_long_is_shown_in_part(refusal, jsonl):
    message = refusal("quiz", jsonl([QUESTION | {"answers": {"a" * 5000: 1}}]))
    assert len(message) < 400
    assert json.dumps("a" * 5000) not in message

"""producer.datasets.readers.rows: the forms of answers, and refusals that name a way out."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from common.errors import UsageError
from common.records import Sample
from producer.datasets.readers.questions import read_example
from producer.datasets.readers.rows import Row
from tests.producer.datasets.filekit import read_samples

FORMS = [
    (["x", "y"], ("x", "y")),
    ("x", ("x",)),
    ({"text": ["x", "y"], "answer_start": [3, 9]}, ("x", "y")),
    ({"text": "x"}, ("x",)),
    ([{"text": "x", "answer_start": 3}, {"text": "y", "answer_start": 9}], ("x", "y")),
    ({"value": "x", "aliases": ["X", "x"], "normalized_value": "n"}, ("x", "X")),
    ({"value": "x", "aliases": []}, ("x",)),
    ({"value": "x", "aliases": None}, ("x",)),
    ({"value": 1984, "aliases": ["MCMLXXXIV"]}, ("1984", "MCMLXXXIV")),
    (7, ("7",)),
    ([7, "seven"], ("7", "seven")),
    (0, ("0",)),
    (-5, ("-5",)),
    (5.0, ("5",)),
    (-0.0, ("0",)),
    (3.50, ("3.5",)),
    (0.1, ("0.1",)),
    (1e-7, ("0.0000001",)),
    (1e23, ("1" + "0" * 23,)),
    (2**70, (str(2**70),)),
    (10**400, (str(10**400),)),
    ("5.0", ("5.0",)),
    ("[0, 1]", ("[0, 1]",)),
    ("[MASK]", ("[MASK]",)),
    ('("Heroes")', ('("Heroes")',)),
    (["['x', 'y']"], ("['x', 'y']",)),
]


@pytest.mark.parametrize("column", ["answers", "answer"])
@pytest.mark.parametrize(("cell", "answers"), FORMS)
def test_answers_are_read_in_the_forms_that_data_sets_have(jsonl, column, cell, answers):
    (sample,) = read_samples(jsonl([{"question": "q?", column: cell}]))
    assert sample.answers == answers


def test_a_number_of_any_length_is_an_answer(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "q?", "answers": [' + "9" * 5000 + "]}\n")
    (sample,) = read_samples(path)
    assert sample.answers == ("9" * 5000,)


@pytest.mark.parametrize(
    ("column", "answers"),
    [
        (pa.array([5, 1984]), ["5", "1984"]),
        (pa.array([5.0, 3.14]), ["5", "3.14"]),
        (np.array([5.0, 3.14], np.float32), ["5", "3.14"]),
        (pa.array([[5.0], [3.14]], pa.list_(pa.float32())), ["5", "3.14"]),
        (pa.array([5, 0.5], pa.float16()), ["5", "0.5"]),
        (pa.array([Decimal("5.00"), Decimal("3.50")]), ["5", "3.5"]),
        (pa.array([{"text": ["5"]}, {"text": ["x"]}]), ["5", "x"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
    ],
)
def test_the_numbers_of_a_table_are_written_as_a_reader_would(tmp_path, column, answers):
    path = tmp_path / "q.feather"
    feather.write_feather(pa.table({"question": ["q?", "r?"], "answers": column}), str(path))
    assert [sample.answers for sample in read_samples(path)] == [(a,) for a in answers]


def test_the_first_answer_of_each_form_is_shown_as_an_example():
    row = Row("f", 1, {"question": "q?", "answer": {"value": "x", "aliases": ["a", "x"]}})
    assert read_example(row) == ("q?", "x")


def refusal(jsonl, **cells):
    with pytest.raises(UsageError) as refused:
        list(read_samples(jsonl([{"question": "q?", "answers": ["a"]} | cells])))
    message = str(refused.value)
    assert "questions.jsonl, row 1: column " in message
    assert "\n" not in message
    return message


LISTS = [
    json.dumps(["x", "y"]),
    repr(["x", "y"]),
    repr(np.array(["x", "y"], dtype=object))
    .removeprefix("array(")
    .removesuffix(", dtype=object)"),
    "['x'\n 'y']",
    "['x' 'y']",
    "{'text': array(['x'], dtype=object), 'answer_start': array([3])}",
    json.dumps({"value": "x", "aliases": ["X"]}),
    "('x', 'y')",
    ' ["it\'s"] ',
    "[]",
]


@pytest.mark.parametrize("column", ["answers", "answer", "paraphrases", "paraphrase1"])
@pytest.mark.parametrize("text", LISTS)
def test_a_list_written_as_text_is_refused_with_two_ways_out(jsonl, column, text):
    cells = {"answers": None, column: text} if column == "answer" else {column: text}
    message = refusal(jsonl, **cells)
    assert f"column {column!r} must be" in message
    if column == "paraphrase1":
        assert "write one text in each such column, or the list in a column" in message
    else:
        assert "write the list itself" in message
        assert "a list that holds it" in message


@pytest.mark.parametrize("column", ["question", "answers", "paraphrases", "paraphrase0", "uuid"])
@pytest.mark.parametrize(
    "text", ["\u200b\u200d", "\ufeff", "\u00ad\u2060", "\u3164", "\u2800 \ufe0f", "\0\x1b"]
)
def test_a_text_that_shows_nothing_is_refused(jsonl, column, text):
    cell = [text] if column in ("answers", "paraphrases") else text
    assert "which shows nothing" in refusal(jsonl, **{column: cell})


@pytest.mark.parametrize(
    "text", ["é", "שלום", "😀", "\u200bx", "a\u200d", "👩\u200d🚀", "◌́", "\u2028."]
)
def test_a_text_that_shows_something_is_kept_as_it_is(jsonl, text):
    (sample,) = read_samples(jsonl([{"question": text, "answers": [text]}]))
    assert (sample.paraphrases, sample.answers) == ((text,), (text,))


@pytest.mark.parametrize("column", ["question", "answers", "paraphrases", "paraphrase0", "uuid"])
@pytest.mark.parametrize("half", ["d83d", "de00", "dc80"])
def test_half_a_surrogate_pair_is_named_by_what_it_is(tmp_path, column, half):
    text = f"bad {chr(int(half, 16))} half"
    cell = ["fine", text] if column in ("answers", "paraphrases") else text
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "q?", "answers": ["a"]} | {column: cell}))
    with pytest.raises(UsageError) as refused:
        list(read_samples(path))
    message = str(refused.value)
    assert f"column {column!r} must be text that UTF-8 can hold" in message
    assert f"half a surrogate pair ('\\u{half}') in 'bad \\u{half} half'; write the" in message
    assert message.isascii()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (True, "is True; write the word"),
        (["x", False], "False in it; write the word"),
        (
            {"text": []},
            "must be a list of texts with at least one, is {'text': []}; nothing could",
        ),
        ([], "is []; nothing could be right, so leave such a question out"),
        ({"value": None, "aliases": ["x"]}, "None in it"),
        ({"value": "x", "aliases": "y"}, "TriviaQA's"),
        ({"spans": ["x"]}, "SQuAD's"),
        (["x" * 99, None], ", None in it"),
        ([["x"]], "['x'] in it"),
        ([float("inf")], "inf in it"),
    ],
)
def test_other_answers_are_refused_and_the_one_among_them_is_shown(jsonl, cell, reason):
    assert reason in refusal(jsonl, answers=cell)


@pytest.mark.parametrize("column", ["answers", "paraphrases", "paraphrase1", "uuid"])
def test_nan_is_a_missing_cell_as_data_frames_write_it(jsonl, column):
    row = {"question": "q?", "answers": ["a"], "paraphrase0": "p?", column: float("nan")}
    if column == "answers":
        assert "is missing" in refusal(jsonl, answers=float("nan"))
        return
    (sample,) = read_samples(jsonl([row]))
    assert sample == Sample(("q?", "p?"), ("a",))


@pytest.mark.parametrize("column", ["answers", "answer"])
def test_an_empty_cell_is_refused_by_the_name_that_its_column_has(jsonl, column):
    with pytest.raises(UsageError, match=rf"column '{column}' must .* is missing$"):
        list(read_samples(jsonl([{"question": "q?", column: None}])))


def test_a_missing_column_is_refused_with_the_columns_there_are(jsonl):
    rows = [{"Question": "q?", "gold": "a"} | {f"c{n}": n for n in range(9)}]
    with pytest.raises(UsageError, match=r"'question' must .* is missing; the row has 'Question'"):
        list(read_samples(jsonl(rows)))
    with pytest.raises(UsageError, match=r"'c5', 3 more$"):
        list(read_samples(jsonl(rows)))

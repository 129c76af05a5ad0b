"""common.normalise: exact match after the normalisation of SQuAD."""

import pytest

from common.normalise import exact_match, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", "paris"),
        ("  The   Eiffel\tTower!\n", "eiffel tower"),
        ("A an the", ""),
        ("Theatre and anthem", "theatre and anthem"),
        ("U.S.A.", "usa"),
        ("rock-'n'-roll", "rocknroll"),
        ("São Paulo", "são paulo"),
        ("", ""),
        ("...", ""),
    ],
)
def test_case_punctuation_articles_and_space_do_not_count(text, expected):
    assert normalise(text) == expected
    assert normalise(expected) == expected


@pytest.mark.parametrize(
    ("prediction", "answers", "right"),
    [
        ("the Nile.", ["Nile", "River Nile"], True),
        ("river nile", ["Nile", "The River Nile"], True),
        ("Nile River", ["Nile"], False),
        ("", ["Nile"], False),
        (None, ["Nile"], False),
        (None, [""], False),
        ("Nile", [], False),
        ("8", ["eight", "8"], True),
    ],
)
def test_a_prediction_is_right_when_it_equals_any_answer(prediction, answers, right):
    assert exact_match(prediction, answers) is right

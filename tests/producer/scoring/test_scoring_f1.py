"""producer.scoring.f1: token F1 by hand, and against a count of words done another way."""

import random
from fractions import Fraction

import pytest

from common.answer_text import exact_match, normalize
from producer.scoring.f1 import token_f1


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("Paris", ["Paris"], 1),
        ("the PARIS!", ["a paris"], 1),
        ("Paris", ["London"], 0),
        # 1 shared of 2 predicted and 1 gold: P 1/2, R 1.
        ("Nile River", ["Nile"], Fraction(2, 3)),
        # 2 shared of 3 predicted and 4 gold.
        ("bank of england", ["central bank of scotland"], Fraction(4, 7)),
        # Order does not count.
        ("river nile", ["nile river"], 1),
        # A word counts as often as both have it: 1 of 3 and 1.
        ("new new new", ["new"], Fraction(1, 2)),
        ("new york new", ["new new"], Fraction(4, 5)),
        # The nearest alias, wherever it stands.
        ("nile river", ["amazon", "nile", "the nile river", "x"], 1),
        ("São Paulo", ["sao paulo"], Fraction(1, 2)),
        ("", ["Nile"], 0),
        ("the", ["an"], 0),
        ("A", ["A"], 1),
        ("the", ["A"], 0),
        ("", ["A"], 0),
        ("Mary’s Nile", ["Mary's Nile"], 1),
        ("sa\u0303o", ["são"], 1),
        ("", [""], 0),
        ("Nile", [], 0),
        (None, ["Nile"], 0),
        (None, [""], 0),
    ],
)
def test_f1_is_that_of_the_worked_example(prediction, answers, expected):
    assert token_f1(prediction, answers) == pytest.approx(float(expected), rel=1e-15)


def counted(prediction, answer):
    """Precision and recall as fractions, crossing out shared words one by one."""
    predicted, gold = normalize(prediction).split(), normalize(answer).split()
    left, shared = list(gold), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return Fraction(0)
    precision, recall = Fraction(shared, len(predicted)), Fraction(shared, len(gold))
    return 2 * precision * recall / (precision + recall)


def test_f1_is_the_best_of_precision_and_recall_counted_another_way():
    draw = random.Random(13)
    words = ["the", "Nile", "nile,", "River", "of", "7", "é", "--"]
    seen = set()
    for _ in range(307):
        predicted, *answers = (
            " ".join(draw.choices(words, k=draw.randrange(7))) for _ in range(draw.randrange(2, 5))
        )
        expected = max(counted(predicted, answer) for answer in answers)
        assert token_f1(predicted, answers) == pytest.approx(float(expected), rel=1e-15)
        seen.add(expected)
    assert len(seen) > 15


def test_an_exact_match_of_at_least_one_word_has_an_f1_of_one():
    for predicted, answer in [("The Nile", "nile"), ("U.S.", "us"), ("a  b", "B!")]:
        assert exact_match(predicted, [answer])
        assert token_f1(predicted, [answer]) == 1

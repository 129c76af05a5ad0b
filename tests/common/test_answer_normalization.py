"""common.answer_text: exact match after the normalization of SQuAD, and its two corrections."""

import random
import re
import string
import sys
import unicodedata
from itertools import pairwise

import pytest

from common.answer_text import exact_match, normalize, unify


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", "paris"),
        ("  The   Eiffel\tTower!\n", "eiffel tower"),
        # Articles stay where nothing else is left.
        ("A", "a"),
        ("The!", "the"),
        ("(an)", "an"),
        ("A an the", "a an the"),
        ("The Who", "who"),
        ("The The", "the the"),
        # Punctuation is what Unicode calls so, and what ASCII has.
        ("“A”", "a"),
        ("Mary’s «Nile» — ¡no!…", "marys nile no"),
        ("北京。", "北京"),
        ("$5 + `x` | ~y = <z>^2", "5 x y z2"),
        # Other symbols stay, as in SQuAD.
        ("5 € 10°", "5 € 10°"),
        # One Unicode spelling.
        ("Cafe\u0301 Sa\u0303o", "café são"),
        ("ＰＡＲＩＳ　２０２４！", "paris 2024"),
        ("\ufb01nal", "final"),
        ("\u22125", "5"),
        ("rock\u00b4n\u00b4roll", "rocknroll"),
        ("zero\u200bwidth so\u00adft\ufeff", "zerowidth soft"),
        ("\u200b", ""),
        # But no text that is another one.
        ("10²", "10²"),
        ("1½", "1½"),
        ("H₂O", "h₂o"),
        ("Theatre and anthem", "theatre and anthem"),
        ("U.S.A.", "usa"),
        ("rock-'n'-roll", "rocknroll"),
        ("São Paulo", "são paulo"),
        ("", ""),
        ("...", ""),
    ],
)
def test_case_punctuation_articles_and_space_do_not_count(text, expected):
    assert normalize(text) == expected
    assert normalize(expected) == expected


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
        ("A", ["A"], True),
        ("a.", ["A"], True),
        ("", ["A"], False),
        ("The", ["A"], False),
        ("...", ["A"], False),
        ("the A", ["A"], False),
        # Of these nothing is left: each is right for itself alone.
        ("", ["..."], False),
        ("", ["+", "?"], False),
        ("-", ["+"], False),
        (" + ", ["+"], True),
        ("…", ["..."], True),
        ("\u200b", ["+"], False),
        ("", ["\u200b"], True),
        # SQuAD's, with both corrections: the marks of a number do not count in a score.
        ("-5", ["5"], True),
        ("3.5", ["35"], True),
        ("8", ["eight", "8"], True),
    ],
)
def test_a_prediction_is_right_when_it_equals_any_answer(prediction, answers, right):
    assert exact_match(prediction, answers) is right


def squad(text):
    """`normalize_answer` of SQuAD's official script, put in other words."""
    plain = re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower())
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", plain).split())


def test_ascii_texts_are_normalized_as_by_squad_unless_nothing_is_left():
    draw = random.Random(7)
    pieces = ["a", "An", "THE", "the", "Nile", "x", "7", *string.punctuation, *"   \t"]
    texts = {"".join(draw.choices(pieces, k=draw.randrange(9))) for _ in range(3000)}
    left = {text: squad(text) for text in texts}
    assert all(normalize(text) == expected for text, expected in left.items() if expected)
    nothing = [text for text, expected in left.items() if not expected]
    assert len(nothing) > 100
    for text in nothing:
        words = re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower()).split()
        assert normalize(text) == " ".join(words)


def test_only_a_text_without_a_word_can_be_right_by_its_marks():
    draw = random.Random(8)
    marks = [*string.punctuation, "…", "“", "\u200b", " "]
    texts = ["".join(draw.choices(marks, k=draw.randrange(4))) for _ in range(400)]
    for text, other in pairwise(texts):
        assert exact_match(text, [text])
        assert not exact_match(text, ["A", "the", "Nile", "5"])
        same = unify(text).split() == unify(other).split()
        assert exact_match(text, [other]) is same


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_canonically_equal_texts_are_one_and_normalizing_again_changes_nothing(form):
    every = map(chr, range(sys.maxunicode + 1))
    letters = [letter for letter in every if unicodedata.decomposition(letter)]
    assert len(letters) > 5000
    for text in letters:
        key = normalize(f"x{text}y Z")
        assert normalize(unicodedata.normalize(form, f"x{text}y Z")) == key
        assert normalize(key) == key

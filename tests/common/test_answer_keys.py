"""common.answer_text: which answers are one in votes and confidences, and which are not."""

import random
import string
import unicodedata
from itertools import combinations

import pytest

from common.answer_text import answer_key

SAME = [
    (
        "Nile",
        "the Nile",
        "The “nile”.",
        " NILE ",
        "**Nile**",
        "`Nile`",
        "(Nile)",
        "-Nile-",
        "— Nile",
    ),
    ("A", "a", "A.", "“A”", "(a)", "Ａ"),
    ("The The", "the the!"),
    ("The Who", "Who"),
    ("U.S.A.", "USA", "usa"),
    ("rock-'n'-roll", "rock’n’roll", "rock´n´roll", "RocknRoll"),
    ("Washington, D.C.", "washington dc"),
    ("São Paulo", unicodedata.normalize("NFD", "são paulo"), "ＳÃＯ　Paulo"),
    ("Straße", "STRASSE"),
    ("F-16", "F16"),
    ("-5", "\u22125", "\u20135", "(-5)", "-5.", "－５"),
    ("3.5", "3.5.", "“3.5”", "３．５"),
    ("1,000,000", "1000000", "1000000."),
    ("1,234.5", "1234.5"),
    ("5%", "5 %", "5%.", "５％"),
    ("$5", "$ 5", "＄5"),
    ("10 °C", "10°C"),
    ("2010-2012", "2010\u20132012"),
    ("C++", "c++.", "the C++"),
    ("O-", "o\u2212", "O-."),
    ("", "...", "…", "“”", "-", "\u200b", " \t"),
    ("co\u00adop", "coop", "co\u200bop"),
]

DIFFERENT = [
    ("-5", "5", "+5", "5%", "$5", "-$5", "#5", "5²", "~5", ".5", "5.5", "55"),
    ("3.5", "35", "3,5", "3 5", "3:5", "3/5", "3-5", "-3.5"),
    ("C++", "C#", "C", "C+", "C--"),
    ("A", "An", "The", "A+", "A-", "", "B"),
    ("+", "-", "=", "<", ">", "#", "%", "$", "€"),
    ("10²", "102", "10"),
    ("1½", "11/2", "1/2"),
    ("AT&T", "ATT"),
    ("1,000", "1.000", "1"),
    ("0.25", "0,25", "025"),
    ("2010-2012", "20102012"),
    ("10:30", "1030"),
    ("5..7", "57"),
    ("∞", "-∞"),
    ("O-", "O+", "O"),
    ("😀", "😢", ""),
    ("é", "e"),
]


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: repr(texts[0]))
def test_case_articles_space_unicode_spelling_and_punctuation_around_do_not_count(texts):
    assert len({answer_key(text) for text in texts}) == 1


@pytest.mark.parametrize("texts", DIFFERENT, ids=lambda texts: repr(texts[0]))
def test_signs_points_and_symbols_count(texts):
    for one, other in combinations(texts, 2):
        assert answer_key(one) != answer_key(other), (one, other)


def test_groups_of_equal_answers_are_not_equal_to_each_other():
    keys = [answer_key(texts[0]) for texts in SAME]
    assert len(set(keys)) == len(keys)


def test_marks_around_words_and_their_case_never_count():
    draw = random.Random(5)
    words = ["nile", "7", "3.5", "-12", "c++", "são", "1/2", "new york", "a+"]
    around = [".", ",", "!", "?", ";", ":", "'", '"', "(", ")", "[", "]", "*", "_", "“", "…", " "]
    for _ in range(500):
        text = " ".join(draw.choices(words, k=draw.randrange(1, 4)))
        before, after = ("".join(draw.choices(around, k=draw.randrange(3))) for _ in range(2))
        if text[0].isdigit() and before.endswith("."):
            continue  # That is another number.
        form = draw.choice(("NFC", "NFD"))
        other = unicodedata.normalize(
            form, f"{before}{draw.choice(('', 'the '))}{text.upper()}{after}"
        )
        assert answer_key(other) == answer_key(text), (text, other)


def test_numbers_are_equal_only_to_themselves():
    draw = random.Random(6)
    numbers = {round(draw.uniform(-30, 30), draw.randrange(3)) for _ in range(400)}
    texts = {f"{number:g}" for number in numbers}
    assert len({answer_key(text) for text in texts}) == len(texts) > 250


def test_the_equality_ends_on_any_text():
    draw = random.Random(9)
    alphabet = [
        *string.punctuation,
        *string.digits,
        *"aßİŉΐ",
        "\u0301",
        "\u200b",
        "½",
        "²",
        " ",
        "\n",
    ]
    for _ in range(2000):
        text = "".join(draw.choices(alphabet, k=draw.randrange(12)))
        key = answer_key(text)
        assert key == key.strip() == answer_key(unicodedata.normalize("NFD", text))

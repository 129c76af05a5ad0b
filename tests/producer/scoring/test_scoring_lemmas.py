"""producer.scoring.lemmas: lemmas of words, and when they match those of an answer."""

import json
import random
import sys
import unicodedata
from pathlib import Path

import pytest

from common.answer_text import exact_match, normalize
from common.errors import UsageError
from producer.scoring import lemmas as module
from producer.scoring.f1 import token_f1
from producer.scoring.lemmas import lemma_match, lemmas

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def matches(prediction, *answers):
    return lemma_match(lemmas(prediction), [lemmas(answer) for answer in answers])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cities", ["city"]),
        ("Mice, wolves & children!", ["mouse", "wolf", "child"]),
        ("he was running", ["he", "be", "run"]),
        ("The Eiffel Tower", ["eiffel", "tower"]),
        ("I", ["i"]),
        ("São Paulo", ["são", "paulo"]),
        ("北京 zzyzx", ["北京", "zzyzx"]),
        ("42 3.5", ["42", "35"]),
        ("", []),
        ("  \t\n", []),
        ("... !", []),
        ("The ... a!", ["the", "a"]),
        ("A", ["a"]),
    ],
)
def test_lemmas_are_dictionary_forms_in_order_and_lower_case(text, expected):
    assert lemmas(text) == expected


def test_lemmas_do_not_depend_on_case_or_on_words_beside():
    words = ["United", "States", "Leaves", "Mary", "left", "Jobs"]
    assert lemmas(" ".join(words)) == [lemmas(word.upper())[0] for word in words]


@pytest.mark.parametrize(
    ("prediction", "answers", "match"),
    [
        ("cats", ["cat"], True),
        ("a cat", ["The Cats"], True),
        ("it was founded", ["being founded"], True),
        ("went swimming", ["go swim"], True),
        # The answer inside the prediction, with words before and after.
        ("it is the river nile in egypt", ["Nile in Egypt"], True),
        ("it is the river nile in egypt", ["amazon", "the rivers nile"], True),
        ("nile in egypt", ["nile"], True),
        ("egypt's nile", ["nile"], True),
        # Side by side: not with other words between.
        ("it is the river nile in egypt", ["nile egypt"], False),
        ("new new york", ["new york"], True),
        ("new old york", ["new york"], False),
        # Never the other way round.
        ("Nile", ["the river Nile"], False),
        ("jaxon bieber", ["jazmyn bieber", "jaxon drew bieber"], False),
        ("new york", ["new york new"], False),
        # Order matters, and every word must have its own place.
        ("egypt nile", ["nile egypt"], False),
        ("york york", ["york new"], False),
        ("york", ["york york"], False),
        # Lemmas of one answer, not of several together.
        ("nile amazon", ["nile egypt", "egypt amazon"], False),
        # An article is a word where it is all there is.
        ("a", ["A"], True),
        ("the", ["A"], False),
        ("vitamin a", ["A"], False),
        ("dog", ["cat", "mouse"], False),
        ("dog", ["cat", "dogs"], True),
        # A word is a whole word.
        ("cathedral", ["cat"], False),
        ("paris", ["parisian theatre"], False),
    ],
)
def test_a_match_is_an_answers_lemmas_side_by_side_in_the_prediction(prediction, answers, match):
    assert matches(prediction, *answers) is match


@pytest.mark.parametrize(
    "pair",
    [("", ""), ("", "cat"), ("cat", ""), ("the", "an"), ("!", "cat"), ("cat", "!"), ("+", "+")],
)
def test_a_text_without_a_word_matches_nothing(pair):
    assert not matches(*pair)


def test_a_match_is_that_of_texts_with_a_border_around_every_lemma():
    draw = random.Random(11)
    words = ["cat", "nile", "new", "york", "x"]
    seen = set()
    for _ in range(600):
        predicted, gold = (draw.choices(words, k=draw.randrange(5)) for _ in range(2))
        inside = bool(gold) and f" {' '.join(gold)} " in f" {' '.join(predicted)} "
        assert (
            lemma_match(predicted, [gold]) is lemma_match(predicted, [["other"], gold]) is inside
        )
        seen.add((inside, len(gold)))
    assert {(True, 1), (True, 2), (False, 2), (False, 0)} <= seen


def test_no_answer_is_matched_by_nothing():
    assert not matches("cat")


def test_a_letter_spelt_with_a_combining_mark_is_the_same_letter():
    composed, apart = (unicodedata.normalize(form, "são paulo") for form in ("NFC", "NFD"))
    assert composed != apart
    assert matches(composed, apart)


def test_without_simplemma_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplemma", None)
    module._lemmatizer.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'self-ensemble\[report\]'"):
        lemmas("cats")


@pytest.mark.skipif(not DATA.exists(), reason="the real data sets are not on this machine")
def test_every_gold_answer_of_a_real_data_set_is_right_by_every_score():
    lines = (DATA / "webquestions_test.jsonl").read_text().splitlines()
    answers = [answer for line in lines for answer in json.loads(line)["answers"]]
    assert len(answers) > 2000
    for answer in answers:
        assert exact_match(answer, ["other", answer])
        assert normalize(answer)
        assert token_f1(answer, ["other", answer]) == 1
        assert matches(answer, "other", answer)
        for predicted in ("", "the", "..."):
            assert not exact_match(predicted, [answer])

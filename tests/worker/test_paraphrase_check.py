"""Which texts count as paraphrases."""

import doctest

import pytest

from worker import paraphrase_check
from worker.paraphrase_check import FUNCTION_WORDS, content_stems, find_problem

LOST = "no content word of the question is left"


def test_the_examples_in_its_docstrings_hold():
    assert doctest.testmod(paraphrase_check) == (0, 3)


@pytest.mark.parametrize("text", ["", " ", "?", "...!?", "？！…", "the", "a, an, the.", "\t"])
def test_a_text_without_a_word_is_empty(text):
    assert find_problem(text, ["who wrote hamlet?"]) == "empty"


@pytest.mark.parametrize(
    "text",
    ["WHO WROTE HAMLET", "who wrote the Hamlet?", " who  wrote, hamlet ", "who wrote hamlet?"],
)
def test_the_question_again_is_no_paraphrase(text):
    assert find_problem(text, ["Who wrote Hamlet?"]) == "same as the question"


def test_another_paraphrase_again_is_no_paraphrase_and_told_apart_from_the_question():
    others = ["who wrote hamlet?", "hamlet is by whom?", "whose is hamlet?"]
    assert find_problem("Hamlet: is by whom", others) == "same as another paraphrase"
    assert find_problem("Whose is Hamlet", others) == "same as another paraphrase"
    assert find_problem("whose play is hamlet", others) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("who is the author of hamlet?", None),
        ("who is it that writes?", LOST),
        ("the writing of hamlets was whose?", None),
        ("what is your name?", LOST),
        ("ham, who ate it?", LOST),
    ],
)
def test_a_content_word_must_be_left_or_one_that_begins_alike(text, problem):
    assert find_problem(text, ["who wrote hamlet?"]) == problem


def test_only_the_questions_own_words_count_and_not_other_paraphrases_ones():
    others = ["who wrote hamlet?", "which author made hamlet?"]
    assert find_problem("which author is it?", others) == LOST


def test_a_question_of_function_words_alone_has_no_content_to_lose():
    assert content_stems("who are you?") == set()
    assert find_problem("may i ask your name?", ["who are you?"]) is None
    assert find_problem("you are who?", ["who are you?"]) is None
    assert find_problem("Who are you", ["who are you?"]) == "same as the question"
    assert find_problem("", ["who are you?"]) == "empty"
    assert find_problem("The", ["who are you?"]) == "empty"


@pytest.mark.parametrize("word", ["What's", "who's", "WHERE'S", "doesn't", "isn't", "didn't"])
def test_short_forms_of_function_words_are_no_content(word):
    assert content_stems(f"{word} the capital of france?") == {"capi", "fran"}
    assert find_problem(f"{word} your name?", [f"{word} the capital of france?"]) == LOST


def test_letters_beyond_ascii_are_letters():
    question = "wer schrieb Öl und Größe?"
    assert find_problem("WER SCHRIEB ÖL UND GRÖSSE", [question]) is None
    assert find_problem("WER SCHRIEB ÖL UND GRÖßE", [question]) == "same as the question"
    assert find_problem("ÖL?", [question]) is None
    assert find_problem("谁写了哈姆雷特", ["谁写了哈姆雷特?"]) == "same as the question"
    assert find_problem("Кто это?", ["кто написал гамлета?"]) is None


def test_a_number_is_a_content_word():
    assert find_problem("the year 1999?", ["what happened in 1999?"]) is None
    assert find_problem("the year 2001?", ["what happened in 1999?"]) == LOST


def test_function_words_are_normalized_words():
    assert {"who", "named", "which"} <= FUNCTION_WORDS
    assert not {"wrote", "year", "", "first", "country"} & FUNCTION_WORDS

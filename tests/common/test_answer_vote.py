"""common.answer_text: the one rule by which paraphrases vote."""

from itertools import permutations

import pytest

from common.answer_text import majority


def test_the_largest_group_of_equal_answers_wins_however_unsure_it_is():
    assert majority(["Lima", "Nile", "the nile!"], [-0.01, -4.0, -3.0]) == 2


def test_the_most_confident_member_stands_for_its_group():
    assert majority(["Nile", "nile", "NILE"], [-0.3, -0.2, -0.7]) == 1


def test_a_tie_goes_to_the_higher_mean_not_to_the_most_confident_single_answer():
    # Means: (-0.1 - 2.1) / 2 = -1.1 for Lima, (-1 - 1) / 2 = -1 for Nile.
    assert majority(["Lima", "lima", "Nile", "nile"], [-0.1, -2.1, -1.0, -1.0]) == 2


def test_what_is_equal_to_the_end_is_decided_by_order():
    assert majority(["Lima", "Nile"], [-1.0, -1.0]) == 0


@pytest.mark.parametrize("empty", ["", "...", "…", "\u200b"])
def test_answers_that_say_nothing_do_not_vote(empty):
    assert majority([empty, empty, empty, "Nile"], [-0.1, -0.1, -0.1, -9.0]) == 3


def test_answers_that_say_nothing_vote_where_there_are_no_others():
    assert majority(["", "!", "..."], [-0.5, -0.25, -0.75]) == 1


@pytest.mark.parametrize("article", ["A", "the", "An."])
def test_an_answer_that_is_an_article_votes_as_any_other(article):
    assert majority([article, article, article, "B"], [-0.2, -0.1, -0.3, -0.01]) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("-5", "5"), ("3.5", "35"), ("C++", "C#"), ("+", "plus"), ("A", "The")]
)
def test_what_differs_in_a_sign_a_point_or_a_symbol_votes_apart(one, other):
    assert majority([other, one, one], [-0.01, -3.0, -2.0]) == 2
    assert majority([one, other, other], [-0.01, -3.0, -2.0]) == 2


def test_the_order_of_the_paraphrases_does_not_matter():
    ballot = [("Lima", -0.5), ("Nile", -0.75), ("lima", -2.5), ("nile", -1.0), ("", 0.0)]
    winners = {
        order[majority([text for text, _ in order], [logprob for _, logprob in order])]
        for order in permutations(ballot)
    }
    assert winners == {("Nile", -0.75)}


@pytest.mark.parametrize(("answers", "logprobs"), [([], []), (["Nile"], []), (["a"], [-1.0, 0.0])])
def test_there_must_be_answers_and_a_log_probability_for_each(answers, logprobs):
    with pytest.raises(ValueError, match=r"empty|argument 2"):
        majority(answers, logprobs)

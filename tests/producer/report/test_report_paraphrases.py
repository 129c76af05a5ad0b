"""Statistics of single answers: by hand, by brute force, and against the vote in common."""

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from common.answer_text import majority, normalize
from producer.report.answers import Reply
from producer.report.build import build_document
from producer.report.paraphrases import report_paraphrases, subsets
from producer.report.singles import stack, vote
from tests.producer.report.reportkit import answered, per_paraphrase, with_singles

BY_HAND = [
    [("The gold 0", -1.0), ("gold 0!", -3.0), ("no", -0.1)],
    [("no", -0.5), ("gold 1", -1.0), ("nope", -2.0)],
    [("", -0.1), ("", -0.1), ("gold 2", -5.0)],
]
"""The majority: gold 0 by two votes; no, by one sure answer; gold 2, as silence has no vote."""


def value(interval):
    return interval.value


def test_three_questions_in_three_paraphrases_by_hand(store):
    (report,) = build_document([per_paraphrase(store, BY_HAND)]).paraphrases
    assert list(map(value, report.by_paraphrase)) == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    assert (report.best, report.mean, report.worst) == pytest.approx((2 / 3, 4 / 9, 1 / 3))
    assert value(report.majority) == pytest.approx(2 / 3)
    assert value(report.oracle) == 1.0
    # Pairs that agree: one of three, none, one of three.
    assert value(report.consistency) == pytest.approx(2 / 9)


def test_accuracy_against_the_number_of_paraphrases_by_hand(store):
    """Of two paraphrases the votes of 0 and 1 are right once (gold 0), of 0 and 2 once (gold 2),
    of 1 and 2 twice (gold 1, gold 2): 4 of 9. Something right is in 2, 2 and 3 of 3.
    """
    (report,) = build_document([per_paraphrase(store, BY_HAND)]).paraphrases
    assert [point.paraphrases for point in report.by_count] == [1, 2, 3]
    assert [point.mean_single for point in report.by_count] == pytest.approx([4 / 9] * 3)
    majorities = [value(point.majority) for point in report.by_count]
    assert majorities == pytest.approx([4 / 9, 4 / 9, 2 / 3])
    assert [value(p.oracle) for p in report.by_count] == pytest.approx([4 / 9, 7 / 9, 1])


def test_a_run_that_keeps_single_answers_tells_the_same_as_one_row_for_each(store):
    (one,) = build_document([per_paraphrase(store, BY_HAND)]).paraphrases
    (other,) = build_document([with_singles(store, "avg-3", BY_HAND)]).paraphrases
    assert one.model_copy(update={"run": ""}) == other.model_copy(update={"run": ""})


def test_the_same_single_answers_in_several_runs_are_analysed_once(store):
    runs = [with_singles(store, name, BY_HAND) for name in ("avg-3", "max-3")]
    document = build_document([*runs, per_paraphrase(store, BY_HAND)])
    assert [report.run for report in document.paraphrases] == ["quiz/owner--model/per_prompt-3"]
    notes = [note for note in document.notes if "the single answers of" in note]
    assert [note.partition(" keep ")[0] for note in notes] == ["avg-3, max-3"]


def test_other_single_answers_are_analysed_apart(store):
    runs = [per_paraphrase(store, BY_HAND), with_singles(store, "avg-3", BY_HAND[::-1])]
    assert len(build_document(runs).paraphrases) == 2


def test_single_answers_of_some_questions_only_are_not_analysed_and_that_is_said(store):
    document = build_document([with_singles(store, "avg-3", [BY_HAND[0], None, BY_HAND[2]])])
    assert document.paraphrases == ()
    assert any("avg-3 keeps single answers of 2 questions only" in n for n in document.notes)


def test_a_question_that_failed_is_wrong_in_every_paraphrase(store):
    (report,) = build_document(
        [with_singles(store, "avg-3", [BY_HAND[0], "it broke", BY_HAND[2]])]
    ).paraphrases
    assert list(map(value, report.by_paraphrase)) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert (value(report.majority), value(report.oracle)) == pytest.approx((2 / 3, 2 / 3))
    assert value(report.consistency) == pytest.approx((1 / 3 + 0 + 1 / 3) / 3)


def test_a_paraphrase_that_failed_says_nothing_and_agrees_with_none(store):
    answers = [[None, None, ("gold 0", -9.0)], [None, None, None]]
    (report,) = build_document([per_paraphrase(store, answers)]).paraphrases
    assert (value(report.majority), value(report.oracle)) == (0.5, 0.5)
    assert value(report.consistency) == 0.0


def test_runs_without_single_answers_have_nothing_to_tell(store):
    assert build_document([answered(store, "avg-3", 5, {1})]).paraphrases == ()


TEXTS = ["", "Lima", "lima!", "Nile", "Oslo", "the"]


def draw_replies(count, paraphrases, seed, failing=0.1):
    """Few texts and log-probabilities in quarters, so that ties of every kind come up."""
    rng = np.random.default_rng(seed)
    return [
        [
            Reply(None, False, -1e6)
            if rng.random() < failing
            else Reply(text, normalize(text) == "nile", -float(rng.integers(0, 5)) / 4)
            for text in rng.choice(TEXTS, paraphrases)
        ]
        for _ in range(count)
    ]


def elected(replies):
    texts = [reply.prediction or "" for reply in replies]
    return replies[majority(texts, [reply.mean_logprob for reply in replies])]


def test_the_vote_over_arrays_is_the_vote_in_common():
    """On more questions than are voted on at a time, and every subset of six paraphrases."""
    questions = draw_replies(301, 6, seed=1)
    choices = [c for k in range(1, 7) for c in combinations(range(6), k)]
    chosen = np.zeros((len(choices), 6), dtype=bool)
    for row, choice in zip(chosen, choices, strict=True):
        row[list(choice)] = True
    expected = [
        [elected([replies[i] for i in choice]).correct for choice in choices]
        for replies in questions
    ]
    assert vote(stack(questions), chosen).tolist() == expected


def test_the_curve_is_that_of_all_subsets_one_by_one():
    questions = draw_replies(17, 5, seed=2)
    report = report_paraphrases("run", questions, seed=0)
    for point in report.by_count:
        choices = list(combinations(range(5), point.paraphrases))
        votes, some = (
            fmean(judge([q[i] for i in c]) for q in questions for c in choices)
            for judge in (lambda r: elected(r).correct, lambda r: any(x.correct for x in r))
        )
        assert value(point.majority) == pytest.approx(votes)
        assert value(point.oracle) == pytest.approx(some)
    assert report.by_count[-1].majority == report.majority
    assert report.by_count[-1].oracle == report.oracle


def test_consistency_is_the_share_of_equal_pairs_one_by_one():
    questions = draw_replies(23, 4, seed=3, failing=0)
    agree = [
        fmean(normalize(a.prediction) == normalize(b.prediction) for a, b in combinations(q, 2))
        for q in questions
    ]
    report = report_paraphrases("run", questions, seed=0)
    assert value(report.consistency) == pytest.approx(fmean(agree))


def test_questions_may_have_different_numbers_of_paraphrases():
    yes, no = Reply("yes", True, -1.0), Reply("no", False, -2.0)
    report = report_paraphrases(
        "run", [[yes, no], [no, no, yes], [no, no, no, yes], [yes, yes]], 0
    )
    assert list(map(value, report.by_paraphrase)) == [0.5, 0.25, 0.5, 1.0]
    # A tie goes to the surer yes; then two against one, three against one, two of two.
    assert (value(report.majority), value(report.oracle)) == (0.5, 1.0)
    assert value(report.consistency) == pytest.approx((0 + 1 / 3 + 1 / 2 + 1) / 4)
    assert [point.paraphrases for point in report.by_count] == [1, 2]
    assert value(report.by_count[1].oracle) == 0.5


def test_what_differs_in_number_is_said(store):
    document = build_document([with_singles(store, "avg-3", [BY_HAND[0][:2], BY_HAND[1]])])
    assert any("questions have 2 to 3 paraphrases" in note for note in document.notes)


def test_few_subsets_are_all_taken_and_many_are_drawn_without_repetition():
    assert len(subsets(10, 3, seed=0)) == 120
    drawn = subsets(10, 5, seed=0)
    assert drawn.shape == (200, 10)
    assert set(drawn.sum(axis=1).tolist()) == {5}
    assert len({tuple(row) for row in drawn.tolist()}) == 200
    assert (drawn == subsets(10, 5, seed=0)).all()
    assert (drawn != subsets(10, 5, seed=1)).any()


def test_drawn_subsets_give_nearly_what_all_of_them_do():
    questions = draw_replies(40, 10, seed=4)
    report = report_paraphrases("run", questions, seed=0)
    every = fmean(
        elected([q[i] for i in choice]).correct
        for q in questions
        for choice in combinations(range(10), 5)
    )
    assert value(report.by_count[4].majority) == pytest.approx(every, abs=0.03)

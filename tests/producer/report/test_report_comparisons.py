"""Comparisons of a report: wins and losses, the family of tests, the verdicts."""

import pytest
from scipy import stats

from producer.report.build import build_document
from producer.report.sentences import verdicts
from tests.producer.report.reportkit import answered, per_paraphrase

RIGHT = {
    "origin": {0, 1, 2, 3},
    "avg-3": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
    "max-3": {0, 5, 10},
}


@pytest.fixture
def three(store):
    return [answered(store, name, 13, right) for name, right in RIGHT.items()]


def pairs_of(document):
    return {
        (c.run.rpartition("/")[2], c.other.rpartition("/")[2]): c for c in document.comparisons
    }


def test_every_pair_is_compared_once_in_the_order_given(three):
    document = build_document(three)
    assert list(pairs_of(document)) == [
        ("origin", "avg-3"),
        ("origin", "max-3"),
        ("avg-3", "max-3"),
    ]


def test_wins_losses_ties_and_flips_by_hand(three):
    pairs = pairs_of(build_document(three))
    counted = {key: (c.wins, c.losses, c.ties) for key, c in pairs.items()}
    assert counted == {
        ("origin", "avg-3"): (0, 6, 7),
        ("origin", "max-3"): (3, 2, 8),
        ("avg-3", "max-3"): (8, 1, 4),
    }
    assert pairs["origin", "max-3"].flips == ("id1", "id2", "id3", "id5", "id10")


def test_a_difference_is_that_of_the_accuracies(three):
    document = build_document(three)
    accuracy = {run.run: run.accuracy.value for run in document.runs}
    for c in document.comparisons:
        assert c.difference.value == pytest.approx(accuracy[c.run] - accuracy[c.other])
        assert c.difference.value == pytest.approx((c.wins - c.losses) / 13)
        assert c.difference.low <= c.difference.value <= c.difference.high


def test_p_values_are_exact_and_holm_covers_all_pairs(three):
    """0.03125, 1 and 0.0390625: times 3, 1 and 2, and never less than the one before."""
    pairs = pairs_of(build_document(three))
    assert [c.p_value for c in pairs.values()] == pytest.approx(
        [stats.binomtest(k, n).pvalue for k, n in ((0, 6), (2, 5), (1, 9))]
    )
    assert [c.p_adjusted for c in pairs.values()] == pytest.approx([0.09375, 1.0, 0.09375])


def test_a_pair_alone_is_a_family_of_one(three):
    (only,) = build_document(three[:2]).comparisons
    assert (only.p_value, only.p_adjusted) == pytest.approx((0.03125, 0.03125))


def test_runs_that_answer_alike_differ_by_nothing(store):
    alike = [answered(store, name, 11, {1, 4}) for name in ("avg-3", "max-3")]
    (c,) = build_document(alike).comparisons
    assert (c.difference.value, c.p_value, c.p_adjusted) == (0.0, 1.0, 1.0)
    assert (c.wins, c.losses, c.ties, c.flips) == (0, 0, 11, ())


def test_a_run_alone_is_compared_with_nothing(three):
    document = build_document(three[:1])
    assert document.comparisons == ()
    assert not any("Detectable" in note for note in document.notes)


def test_a_run_with_a_row_for_each_paraphrase_is_no_party_and_the_report_says_so(store, three):
    answers = [[("x", -1.0)] * 3] * 13
    document = build_document([*three, per_paraphrase(store, answers)])
    assert len(document.comparisons) == 3
    assert any(note.startswith("per_prompt-3 has an answer for each") for note in document.notes)


def test_a_failed_row_loses_against_a_right_one_and_ties_with_a_wrong_one(store):
    run = answered(store, "avg-3", 7, {0, 1}, failed={5, 6})
    other = answered(store, "max-3", 7, {0, 5})
    (c,) = build_document([run, other]).comparisons
    assert (c.wins, c.losses, c.ties, c.flips) == (1, 1, 5, ("id1", "id5"))


def test_too_few_questions_for_any_significance_are_pointed_out(store):
    few = [answered(store, name, 5, right) for name, right in (("avg-3", range(5)), ("max-3", ()))]
    document = build_document(few)
    (c,) = document.comparisons
    assert (c.wins, c.minimum_detectable) == (5, 1.0)
    assert c.p_value > 0.05
    assert any("fewer than 6 questions" in note for note in document.notes)


def test_the_verdict_names_what_is_significant_and_what_is_not(store):
    runs = [
        answered(store, "origin", 30, range(5)),
        answered(store, "avg-3", 30, range(25)),
        answered(store, "max-3", 30, range(4)),
    ]
    comparisons = build_document(runs).comparisons
    names = {c: c.rpartition("/")[2] for c in (str(run.key) for run in runs)}
    assert list(verdicts(comparisons, names)) == [
        "Significant: avg-3 is better than origin by 66.7 points (p < 0.001 after Holm).",
        "Significant: avg-3 is better than max-3 by 70.0 points (p < 0.001 after Holm).",
        "Not significant at 5 % after Holm over 3 comparisons: origin and max-3. That does not "
        "show that they are equal.",
    ]


def test_what_is_significant_alone_may_not_be_so_in_a_family(three):
    alone, family = build_document(three[:2]), build_document(three)
    names = {run.run: run.run.rpartition("/")[2] for run in family.runs}
    assert next(verdicts(alone.comparisons, names)).startswith("Significant: avg-3 is better")
    (sentence,) = verdicts(family.comparisons, names)
    assert sentence.startswith(
        "Not significant at 5 % after Holm over 3 comparisons: origin and avg-3"
    )

"""producer.report.statistics: each statistic against a second way to compute it."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from producer.report.statistics import (
    difference_interval,
    holm,
    mcnemar_p,
    mean_interval,
    minimum_detectable,
    share_interval,
)


def shares(right, count):
    return np.array([1.0] * right + [0.0] * (count - right))


@pytest.mark.parametrize(
    ("right", "count"),
    [(0, 1), (1, 1), (0, 60), (1, 60), (60, 60), (11, 37), (3, 41), (400, 1999)],
)
def test_the_interval_of_an_accuracy_holds_the_shares_that_a_score_test_does_not_reject(
    right, count
):
    """Wilson 1927: the p with (right / n - p)**2 <= z**2 p (1 - p) / n, a quadratic in p."""
    z, share = stats.norm.ppf(0.975), right / count
    low, high = np.sort(np.roots([1 + z**2 / count, -2 * share - z**2 / count, share**2]))
    interval = share_interval(shares(right, count), seed=3)
    assert interval.value == pytest.approx(share)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_one_right_answer_more_moves_both_ends_up():
    intervals = [share_interval(shares(right, 60), seed=3) for right in range(61)]
    for fewer, more in pairwise(intervals):
        assert fewer.low < more.low
        assert fewer.high < more.high
    assert (intervals[0].high, intervals[1].high) == pytest.approx(
        (0.0601719, 0.0885513), abs=1e-7
    )


def test_flags_have_the_interval_of_zeros_and_ones():
    assert share_interval(shares(3, 41) > 0, seed=3) == share_interval(shares(3, 41), seed=3)


def test_shares_of_a_question_have_the_interval_of_a_mean():
    values = np.array([0.0, 1.0, 0.5] * 20)
    assert share_interval(values, seed=3) == mean_interval(values, seed=3)


@pytest.mark.parametrize(("right", "count"), [(11, 37), (3, 41), (400, 1999)])
def test_the_interval_of_a_mean_is_that_of_the_binomial_it_resamples(right, count):
    """The sum of resampled zeros and ones is binomial: its percentiles need no resampling."""
    low, high = stats.binom.ppf([0.025, 0.975], count, right / count) / count
    interval = mean_interval(shares(right, count), seed=3)
    assert interval.value == pytest.approx(right / count)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1.01 / count)


def test_the_interval_of_other_shares_is_that_of_a_plain_loop():
    values = np.random.default_rng(5).beta(0.4, 0.7, size=83)
    draw = np.random.default_rng(6)
    means = [values[draw.integers(0, 83, 83)].mean() for _ in range(8000)]
    interval = mean_interval(values, seed=3)
    assert (interval.low, interval.high) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.006
    )


def test_the_interval_of_a_difference_is_that_of_a_plain_loop_over_pairs():
    rng = np.random.default_rng(7)
    hard = rng.random(151)
    run, other = ((hard < limit).astype(float) for limit in (0.5, 0.4))
    draw = np.random.default_rng(8)
    picks = [draw.integers(0, 151, 151) for _ in range(8000)]
    means = [run[pick].mean() - other[pick].mean() for pick in picks]
    interval = difference_interval(run, other, seed=3)
    assert interval.value == pytest.approx(run.mean() - other.mean())
    assert (interval.low, interval.high) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.008
    )


def test_a_paired_interval_is_as_wide_as_the_standard_error_of_the_differences():
    rng = np.random.default_rng(9)
    run = rng.integers(0, 2, 901).astype(float)
    other = np.where(rng.random(901) < 0.1, 1 - run, run)
    error = (run - other).std() / np.sqrt(901)
    interval = difference_interval(run, other, seed=3)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_swapping_the_runs_mirrors_the_difference():
    run, other = shares(9, 23), shares(23, 23)[::-1] - shares(4, 23)
    one, back = difference_interval(run, other, 3), difference_interval(other, run, 3)
    assert one.value == -back.value
    assert (one.low, one.high) == pytest.approx((-back.high, -back.low), abs=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(1).random(57)
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_a_mean_of_zeros_alone_does_not_mean_zero_for_sure():
    """1 - 0.025 ** (1 / 20): with a larger share, 20 wrong ones in a row come in under 2.5 %."""
    none, every = mean_interval(shares(0, 20), 0), mean_interval(shares(20, 20), 0)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0.168433), abs=1e-6)
    assert (every.value, every.low, every.high) == pytest.approx((1, 0.831567, 1), abs=1e-6)


def test_runs_that_never_disagree_differ_by_nothing_give_or_take_what_is_not_seen():
    interval = difference_interval(shares(9, 20), shares(9, 20), 0)
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (0, -0.168433, 0.168433), abs=1e-6
    )


def test_a_single_question_leaves_nearly_everything_open():
    interval = mean_interval(shares(1, 1), 0)
    assert (interval.value, interval.low, interval.high) == pytest.approx((1, 0.025, 1))
    interval = share_interval(shares(1, 1), 0)
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (1, 0.206549, 1), abs=1e-6
    )


@pytest.mark.parametrize("wins", [0, 1, 5, 12, 40])
@pytest.mark.parametrize("losses", [0, 3, 5, 31])
def test_mcnemars_test_is_a_sign_test_on_the_questions_that_flip(wins, losses):
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar_p(wins, losses) == pytest.approx(expected)


def test_six_flips_of_six_one_way_are_the_fewest_that_are_significant():
    assert mcnemar_p(6, 0) == pytest.approx(2 / 2**6)
    assert mcnemar_p(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar_p(6, 0) < 0.05 < mcnemar_p(0, 5)


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_one_p_value_and_goes_no_higher_than_one():
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([0.7, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@cache
def significant(wins, losses):
    return wins + losses > 0 and stats.binomtest(wins, wins + losses).pvalue <= 0.05


@pytest.mark.parametrize(("questions", "disagreeing"), [(173, 0.2), (61, 0.5), (997, 0.05)])
def test_the_detectable_difference_is_found_four_times_in_five(questions, disagreeing):
    """By simulation: 12,000 experiments whose truth is that difference."""
    truth = minimum_detectable(questions, disagreeing)
    won, lost = (disagreeing + truth) / 2, (disagreeing - truth) / 2
    draws = np.random.default_rng(2).multinomial(questions, [won, lost, 1 - won - lost], 12_000)
    num_significant = sum(significant(int(wins), int(losses)) for wins, losses, _ in draws)
    assert num_significant / 12_000 == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize("disagreeing", [0.02, 0.1, 0.4])
def test_for_many_questions_it_is_the_one_of_connor(disagreeing):
    """n = (z(a/2) sqrt(psi) + z(b) sqrt(psi - d ** 2)) ** 2 / d ** 2 (Connor 1987)."""
    d = minimum_detectable(20_000, disagreeing)
    needed = (1.959964 * disagreeing**0.5 + 0.841621 * (disagreeing - d**2) ** 0.5) ** 2 / d**2
    assert needed == pytest.approx(20_000, rel=0.04)


def test_six_questions_show_a_difference_only_where_all_six_flip_one_way():
    """With probability d ** 6, which is 0.8 for d = 0.8 ** (1 / 6)."""
    assert minimum_detectable(6, 0.0) == pytest.approx(0.8 ** (1 / 6), abs=1e-4)


@pytest.mark.parametrize("questions", [1, 2, 5])
def test_with_five_questions_no_difference_can_be_found(questions):
    assert minimum_detectable(questions, 0.4) == 1.0


def test_more_questions_detect_less_and_more_disagreement_hides_more():
    by_size = [minimum_detectable(n, 0.2) for n in (30, 100, 300, 1000, 3000)]
    by_noise = [minimum_detectable(300, psi) for psi in (0.0, 0.1, 0.3, 0.9)]
    assert by_size == sorted(by_size, reverse=True)
    assert by_noise == sorted(by_noise)

"""The statistics of a report, by scipy and statsmodels where they have them.

Inputs are arrays with one number per question, in the same order for both runs of a pair.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from producer.report.document import ALPHA, Interval

LEVEL = 0.95
POWER = 0.8
RESAMPLES = 9_999

_BATCH_VALUES = 250_000
_NEVER = 1e-9

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


def share_interval(values: FloatArray | BoolArray, seed: int) -> Interval:
    """An accuracy, the mean of one number in [0, 1] per question, with its interval.

    If every question counts 0 or 1, the interval is Wilson's (1927). The percentile bootstrap
    would be too narrow: it gives [0, 5.0 %] for 1 right answer in 60, but up to 6 % for 0 of 60.
    Other numbers (means over a question's paraphrases) get the bootstrap interval of
    `mean_interval`.

        >>> interval = share_interval(np.array([1.0] + [0.0] * 59), seed=0)
        >>> f"{interval.low:.4f} to {interval.high:.4f}"
        '0.0029 to 0.0886'
    """
    if not np.isin(values, (0, 1)).all():
        return mean_interval(values, seed)
    value = float(values.mean())
    low, high = proportion_confint(int(values.sum()), len(values), 1 - LEVEL, method="wilson")
    # Rounding may put an end on the wrong side of 0 % or 100 % by one bit.
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def mean_interval(values: FloatArray | BoolArray, seed: int) -> Interval:
    """The mean of numbers in [0, 1], one per question, with its bootstrap interval."""
    return _interval(values.astype(np.float64), 0.0, seed)


def difference_interval(run: FloatArray, other: FloatArray, seed: int) -> Interval:
    """The mean of `run - other`, with its paired-bootstrap interval.

    A resampled question brings the results of both runs, so its difficulty cancels out.
    """
    return _interval(run - other, -1.0, seed)


def _interval(values: FloatArray, lowest: float, seed: int) -> Interval:
    """The percentile bootstrap over questions (Efron and Tibshirani 1993, chapter 13).

    Not BCa: for a mean of bounded numbers the two agree, and BCa has no value if its jackknife is
    constant. lowest: the smallest possible value; the largest is 1.
    """
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return _unanimous(mean, len(values), lowest)
    ends = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(values)),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value=mean, low=float(ends.low), high=float(ends.high))


def _unanimous(value: float, count: int, lowest: float) -> Interval:
    """The interval if all questions have the same value: a bootstrap would have no width.

    The share of questions with another value is at most the bound of Clopper and Pearson (1934)
    for none of `count`; their values lie between `lowest` and 1.
    """
    otherwise = float(stats.binomtest(0, count).proportion_ci(LEVEL, method="exact").high)
    low = value - otherwise * (value - lowest)
    return Interval(value=value, low=low, high=value + otherwise * (1 - value))


def mcnemar_p(wins: int, losses: int) -> float:
    """The two-sided p-value of McNemar's exact test."""
    return float(mcnemar([[0, wins], [losses, 0]], exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's correction (1979) for multiple tests, in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, alpha=ALPHA, method="holm")[1]]


def minimum_detectable(questions: int, disagreeing: float) -> float:
    """The smallest true difference of two accuracies that the test finds with 80 % power.

    The test is McNemar's exact test at 5 %, two-sided, uncorrected. Its power is summed over the
    number of questions on which the runs disagree (Duffy 1984; Connor 1987 approximates it).
    disagreeing: the observed share of questions, in [0, 1], that only one run gets right; raised
    to the difference where that is larger. Returns 1 if no difference would be found.

        >>> round(minimum_detectable(1000, 0.1), 3)
        0.029
    """

    def lacking(difference: float) -> float:
        return _power(questions, max(disagreeing, difference), difference) - POWER

    if lacking(1.0) < 0:
        return 1.0
    return float(optimize.brentq(lacking, _NEVER, 1.0, xtol=1e-5))


def _power(questions: int, disagreeing: float, difference: float) -> float:
    """Probability that the test is significant, for true values of both shares."""
    counts = stats.binom(questions, disagreeing)
    seen = np.arange(counts.ppf(_NEVER), counts.ppf(1 - _NEVER) + 1)
    # With `seen` disagreements the test is significant at this many wins or fewer, or losses.
    few = stats.binom.ppf(ALPHA / 2, seen, 0.5) - 1
    won = (1 + difference / disagreeing) / 2
    significant = stats.binom.cdf(few, seen, won) + stats.binom.cdf(few, seen, 1 - won)
    return float((counts.pmf(seen) * significant).sum())

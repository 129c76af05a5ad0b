"""Statistics of the single answers of paraphrases: oracle, votes over subsets, consistency.

A failed paraphrase is wrong, has no say in a vote, and agrees with no other.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from math import comb

import numpy as np

from producer.report.answers import Reply
from producer.report.document import CountPoint, Interval, ParaphraseReport
from producer.report.singles import Singles, stack, vote
from producer.report.statistics import BoolArray, FloatArray, mean_interval, share_interval

MAX_SUBSETS = 200
"""If there are more subsets of K paraphrases, this many of them are drawn."""


def report_paraphrases(
    run: str, questions: Sequence[Sequence[Reply]], seed: int
) -> ParaphraseReport:
    """All statistics of one run. questions: the single answers to each question."""
    singles = stack(questions)
    by_paraphrase = tuple(_by_paraphrase(singles, seed))
    shares = [paraphrase.value for paraphrase in by_paraphrase]
    everything = np.ones((1, singles.present.shape[1]), dtype=bool)
    return ParaphraseReport(
        run=run,
        by_paraphrase=by_paraphrase,
        best=max(shares),
        mean=sum(shares) / len(shares),
        worst=min(shares),
        majority=_over_choices(vote(singles, everything), seed),
        oracle=_over_choices(some_right(singles, everything), seed),
        consistency=mean_interval(consistency(singles), seed),
        by_count=tuple(_by_count(singles.first(int(singles.counts.min())), seed)),
    )


def _by_paraphrase(singles: Singles, seed: int) -> Iterator[Interval]:
    for present, correct in zip(singles.present.T, singles.correct.T, strict=True):
        yield share_interval(correct[present], seed)


def consistency(singles: Singles) -> FloatArray:
    """For each question with two paraphrases or more, the share of pairs that agree.

    Two answers agree if a vote counts them as one; so do two empty ones. (Defined for paraphrases
    of a fact by Elazar et al. 2021.)
    """
    several = singles.counts > 1
    codes = np.where(singles.present & ~singles.failed, singles.codes, -1)[several]
    same = (codes[:, :, None] == codes[:, None, :]) & (codes >= 0)[:, None, :]
    left, right = np.triu_indices(codes.shape[1], k=1)
    counts = singles.counts[several]
    shares: FloatArray = same[:, left, right].sum(axis=1) / (counts * (counts - 1) / 2)
    return shares


def _by_count(singles: Singles, seed: int) -> Iterator[CountPoint]:
    """Yield the accuracy with K = 1, 2, ... paraphrases; every question must have all of them.

    `mean_single` does not depend on K: over all subsets it is the mean over the paraphrases.
    """
    paraphrases = singles.present.shape[1]
    for count in range(1, paraphrases + 1):
        chosen = subsets(paraphrases, count, seed)
        yield CountPoint(
            paraphrases=count,
            mean_single=float(singles.correct.mean()),
            majority=_over_choices(vote(singles, chosen), seed),
            oracle=_over_choices(some_right(singles, chosen), seed),
        )


def some_right(singles: Singles, chosen: BoolArray) -> BoolArray:
    """Whether at least one chosen answer is right, (questions, choices)."""
    right: BoolArray = np.asarray((chosen & singles.correct[:, None, :]).any(axis=2))
    return right


def _over_choices(right: BoolArray, seed: int) -> Interval:
    """The share of choices that are right, mean over questions; the interval is over questions."""
    shares: FloatArray = np.asarray(right.mean(axis=1))
    return share_interval(shares, seed)


def subsets(paraphrases: int, count: int, seed: int) -> BoolArray:
    """Choices of `count` paraphrases, (choices, paraphrases): all, or MAX_SUBSETS drawn ones.

    >>> subsets(3, 2, seed=0).astype(int).tolist()
    [[1, 1, 0], [1, 0, 1], [0, 1, 1]]
    """
    if comb(paraphrases, count) <= MAX_SUBSETS:
        choices = list(combinations(range(paraphrases), count))
    else:
        choices = list(islice(_drawn(paraphrases, count, seed), MAX_SUBSETS))
    chosen = np.zeros((len(choices), paraphrases), dtype=bool)
    np.put_along_axis(chosen, np.array(choices), True, axis=1)
    return chosen


def _drawn(paraphrases: int, count: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Yield random subsets, no two equal; loops without end once all are drawn."""
    rng = np.random.default_rng([seed, count])
    seen: set[tuple[int, ...]] = set()
    while True:
        drawn = tuple(sorted(rng.choice(paraphrases, count, replace=False).tolist()))
        if drawn not in seen:
            seen.add(drawn)
            yield drawn

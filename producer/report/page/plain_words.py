"""Figures as people read them: per cents, points, and what a comparison means in one sentence.

Computes no statistics: what is here was decided by the document's p-values and intervals.
"""

from collections.abc import Sequence

from producer.report.document import ALPHA, Comparison, Document, Interval

METRICS = {
    "exact": "exact match with any gold answer, after SQuAD normalization",
    "lemma": "lemma match: the lemmas of a gold answer stand side by side, in order, in the "
    "prediction",
}


def percent(share: float) -> str:
    """Its figure and sign stay on one line.

    >>> percent(0.4333)
    '43.3\\xa0%'
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def ends(interval: Interval) -> str:
    """
    >>> ends(Interval(value=0.5, low=0.4, high=0.625))
    '40.0 to 62.5'
    """
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def points(difference: float) -> str:
    """A difference of shares, in percentage points.

    >>> points(-0.0512), points(0.1)
    ('−5.1', '+10.0')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def rate_figure(rate: float) -> str:
    """
    >>> rate_figure(1234.5), rate_figure(0.251)
    ('1,234.5', '0.25')
    """
    return f"{rate:,.1f}" if rate >= 10 else f"{rate:.2f}"


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "question"), counted(2000, "question")
    ('1 question', '2,000 questions')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def told_apart(comparison: Comparison) -> bool:
    return comparison.p_adjusted <= ALPHA


def verdict(comparison: Comparison, names: dict[str, str]) -> str:
    """What the corrected test says of two runs."""
    if not told_apart(comparison):
        return "no difference shown"
    run, other = names[comparison.run], names[comparison.other]
    better, worse = (run, other) if comparison.wins > comparison.losses else (other, run)
    return f"{better} is better than {worse}"


def headline(document: Document, names: dict[str, str]) -> str:
    """Which run is best, and which ones it is not told apart from."""
    best = max(document.runs, key=lambda run: run.accuracy.value).run
    its = [c for c in document.comparisons if best in (c.run, c.other)]
    rivals = [c.other if c.run == best else c.run for c in its if not told_apart(c)]
    share = percent(next(run.accuracy.value for run in document.runs if run.run == best))
    if not its:
        return f"{names[best]} has an accuracy of {share}."
    if rivals:
        rest = f"but is not told apart from {listed([names[rival] for rival in rivals])}"
    else:
        rest = "and is better than each run it is compared with"
    return f"{names[best]} has the highest accuracy, {share}, {rest}."

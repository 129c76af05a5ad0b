"""What a report says in sentences: which differences are significant, and what failed."""

from collections.abc import Iterator, Mapping, Sequence

from producer.report.document import ALPHA, Comparison, Document
from producer.report.figures import p_value

MAX_FAILURES = 5
"""Failed questions named for each run; the rest is counted."""

MAX_PAIRS = 6
"""Pairs that do not differ are named up to here, and counted beyond."""


def verdicts(comparisons: Sequence[Comparison], names: Mapping[str, str]) -> Iterator[str]:
    """For each pair that differs significantly, and for the others together. names: of runs."""
    for c in comparisons:
        if c.p_adjusted <= ALPHA:
            better, worse = (c.run, c.other) if c.wins > c.losses else (c.other, c.run)
            points = f"{100 * abs(c.difference.value):.1f}"
            yield (
                f"Significant: {names[better]} is better than {names[worse]} by {points} points "
                f"(p {_equals(c.p_adjusted)} after Holm)."
            )
    undecided = [c for c in comparisons if c.p_adjusted > ALPHA]
    if undecided:
        pairs = "; ".join(f"{names[c.run]} and {names[c.other]}" for c in undecided[:MAX_PAIRS])
        if len(undecided) > MAX_PAIRS:
            pairs = f"{len(undecided)} pairs, in the table above"
        family = f"{len(comparisons)} comparison{'s' * (len(comparisons) > 1)}"
        yield (
            f"Not significant at 5 % after Holm over {family}: {pairs}. That does not show that "
            "they are equal."
        )


def _equals(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def failures(document: Document, names: Mapping[str, str]) -> Iterator[str]:
    """The questions each run failed on, and why."""
    for run, name in names.items():
        failed = [sample for sample in document.samples if run in sample.errors]
        for sample in failed[:MAX_FAILURES]:
            yield f"{name} failed on {sample.uuid}: {sample.errors[run]}"
        if len(failed) > MAX_FAILURES:
            yield f"{name} failed on {len(failed) - MAX_FAILURES} more questions."

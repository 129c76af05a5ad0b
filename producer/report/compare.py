"""Compare every pair of runs on the same questions: wins, losses, interval and p-values.

Holm's correction covers all pairs of the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from producer.report.document import Comparison
from producer.report.load import RunAnswers
from producer.report.statistics import (
    difference_interval,
    holm,
    mcnemar_p,
    minimum_detectable,
)


@dataclass(frozen=True)
class PairOutcome:
    """Two runs on the same questions.

    won, lost: uuids of the questions that only the one, or only the other, got right. ties: number
    of all other questions.
    """

    won: tuple[str, ...]
    lost: tuple[str, ...]
    ties: int

    @property
    def disagreeing(self) -> float:
        """Share of questions on which the runs disagree."""
        flips = len(self.won) + len(self.lost)
        return flips / (flips + self.ties)


def comparable_runs(runs: Sequence[RunAnswers]) -> list[RunAnswers]:
    """The runs with one answer per question: no other run can win or lose a question."""
    return [run for run in runs if not run.method.row_per_paraphrase]


def compare_runs(runs: Sequence[RunAnswers], seed: int) -> tuple[Comparison, ...]:
    """Compare all pairs of comparable runs, in their order.

    All runs must have the same questions in the same order.
    """
    pairs = list(combinations(comparable_runs(runs), 2))
    outcomes = [find_outcome(run, other) for run, other in pairs]
    p_values = [mcnemar_p(len(outcome.won), len(outcome.lost)) for outcome in outcomes]
    adjusted = holm(p_values)
    return tuple(
        _comparison(run, other, outcome, p, p_adjusted, seed)
        for (run, other), outcome, p, p_adjusted in zip(
            pairs, outcomes, p_values, adjusted, strict=True
        )
    )


def find_outcome(run: RunAnswers, other: RunAnswers) -> PairOutcome:
    """The questions on which two runs disagree, by uuid."""
    differences = run.correct - other.correct
    uuids = np.array(list(run.questions), dtype=object)
    won, lost = uuids[differences > 0].tolist(), uuids[differences < 0].tolist()
    return PairOutcome(tuple(won), tuple(lost), len(uuids) - len(won) - len(lost))


def _comparison(
    run: RunAnswers,
    other: RunAnswers,
    outcome: PairOutcome,
    p: float,
    p_adjusted: float,
    seed: int,
) -> Comparison:
    flipped = {*outcome.won, *outcome.lost}
    return Comparison(
        run=run.key,
        other=other.key,
        difference=difference_interval(run.correct, other.correct, seed),
        p_value=p,
        p_adjusted=p_adjusted,
        minimum_detectable=minimum_detectable(len(run.questions), outcome.disagreeing),
        wins=len(outcome.won),
        losses=len(outcome.lost),
        ties=outcome.ties,
        flips=tuple(uuid for uuid in run.questions if uuid in flipped),
    )

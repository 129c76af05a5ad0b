"""The document: a whole report as data. `build` computes it; terminal, JSON and page show it.

Shares are in [0, 1]; intervals are 95 % intervals. Runs are named by their keys.
"""

from pydantic import BaseModel, ConfigDict

ALPHA = 0.05
"""Two runs differ significantly if the p-value after Holm's correction is at most this."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Data):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class RunReport(_Data):
    """One run. Failed rows count as wrong.

    accuracy, f1: mean over questions; a run with a row per paraphrase counts a question by the
    mean over its paraphrases. tokens: number of generated tokens. cut_off: number of answers that
    ended at --max-new-tokens. seconds: of the run's shards,
    which runs answered together share.
    """

    run: str
    method: str
    num_paraphrases: int
    layout: str | None
    positions: str | None
    questions: int
    failed: int
    accuracy: Interval
    f1: Interval
    tokens: int
    cut_off: int
    seconds: float | None
    questions_per_second: float | None


class Comparison(_Data):
    """Two runs on the same questions.

    difference: accuracy of `run` minus accuracy of `other`, with a paired-bootstrap interval.
    p_value: from McNemar's exact test. p_adjusted: after Holm over all comparisons of the report.
    minimum_detectable: the smallest difference that this many questions could have shown.
    wins, losses: number of questions that only `run`, or only `other`, got right. flips: uuids of
    these questions.
    """

    run: str
    other: str
    difference: Interval
    p_value: float
    p_adjusted: float
    minimum_detectable: float
    wins: int
    losses: int
    ties: int
    flips: tuple[str, ...]


class CountPoint(_Data):
    """Accuracy with K paraphrases: mean over subsets of K of the stored single answers."""

    paraphrases: int
    mean_single: float
    majority: Interval
    oracle: Interval


class ParaphraseReport(_Data):
    """Statistics of the single answers that one run keeps.

    by_paraphrase: accuracy of paraphrase 0, 1, ... over all questions that have it. best, mean,
    worst: over paraphrases. oracle: share of questions with at least one right answer.
    consistency: share of pairs of paraphrases with equal answers, compared as in a vote; mean over
    questions.
    """

    run: str
    by_paraphrase: tuple[Interval, ...]
    best: float
    mean: float
    worst: float
    majority: Interval
    oracle: Interval
    consistency: Interval
    by_count: tuple[CountPoint, ...]


class SampleRow(_Data):
    """One question in the table of the page; dictionaries are by run.

    singles: the answer to each paraphrase alone, if a run keeps them. flips: whether some runs
    are right and others wrong.
    """

    uuid: str
    paraphrases: tuple[str, ...]
    answers: tuple[str, ...]
    predictions: dict[str, str | None]
    correct: dict[str, bool]
    errors: dict[str, str]
    singles: tuple[str, ...] | None
    singles_correct: tuple[bool, ...] | None
    flips: bool


class Document(_Data):
    """A whole report.

    metric: the score that accuracy counts, "exact" or "lemma". common_of: if the questions were
    cut to those that all runs have, the number of questions that any run has. notes: sentences for
    the reader.
    """

    title: str
    dataset: str
    metric: str
    questions: int
    common_of: int | None
    runs: tuple[RunReport, ...]
    comparisons: tuple[Comparison, ...]
    paraphrases: tuple[ParaphraseReport, ...]
    samples: tuple[SampleRow, ...]
    notes: tuple[str, ...]

"""The document: everything a report says, as data. What computes it and what shows it meet here.

Shares are in [0, 1]; intervals are 95 % intervals. Runs are named by their keys.
"""

from pydantic import BaseModel, ConfigDict

ALPHA = 0.05
"""Up to here, after Holm's correction, two runs are said to differ."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Data):
    """A figure and where it lies: value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class RunReport(_Data):
    """One run by itself. Failed rows count as wrong.

    accuracy, f1: over questions; of a run with a row for each paraphrase, the mean over them.
    tokens: generated. seconds: of the shards it was answered in, which other runs may share.
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
    seconds: float | None
    questions_per_second: float | None


class Comparison(_Data):
    """Two runs on the same questions.

    difference: accuracy of `run` minus that of `other`, with its paired-bootstrap interval.
    p_value: McNemar's exact test; p_adjusted: after Holm over all comparisons of the report.
    minimum_detectable: the smallest difference this many questions could have shown.
    wins, losses: questions that `run` alone, or `other` alone, got right; flips: their uuids.
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
    """What K paraphrases give, over subsets of K of the stored single answers."""

    paraphrases: int
    mean_single: float
    majority: Interval
    oracle: Interval


class ParaphraseReport(_Data):
    """What the single answers of paraphrases tell, from a run that keeps them.

    by_paraphrase: accuracy of paraphrase 0, 1, ... over all questions that have it. best, mean,
    worst: over paraphrases. oracle: some paraphrase is right. consistency: share of pairs of
    paraphrases that give equal answers, as votes compare them; mean over questions.
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

    singles: the answer of each paraphrase alone, where a run keeps them. flips: whether the
    runs disagree on being right.
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

    metric: which score accuracy is, "exact" or "lemma". common_of: where the questions were cut
    to the common ones, how many there were in all. notes: what a reader must know besides.
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

"""Records: the samples that a run reads and the rows that it writes, as plain values.

Imports no pyarrow, so the engine takes a Sample as it is. `common.schema` has the columns.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

ErrorKind = Literal["sample", "worker"]
"""Whose fault an error is: another worker answers the second kind, and fails at the first too."""


@dataclass(frozen=True)
class Sample:
    """One question. `paraphrases[0]` is the question itself.

    answers: gold answers. uuid: identifies the sample, and seeds its random draws; the md5 of the
    question if not given. num_manual: the first `num_manual` paraphrases were written by hand;
    None if the data set does not say. confidences: one for each paraphrase, () if they could not
    be computed, None for runs that do not read them.

    >>> Sample(("who?", "which one?")).uuid
    '2031a94ff8b48ec750fe7db5868a05fc'
    """

    paraphrases: tuple[str, ...]
    answers: tuple[str, ...] = ()
    uuid: str = ""
    num_manual: int | None = None
    confidences: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.uuid:
            question = self.paraphrases[0] if self.paraphrases else ""
            object.__setattr__(self, "uuid", hashlib.md5(question.encode()).hexdigest())


@dataclass(frozen=True)
class SingleAnswer:
    """The answer of one paraphrase alone, kept beside the answer of an ensemble for re-use."""

    prediction: str
    tokens: list[int]
    token_logprobs: list[float]
    finish_reason: str


@dataclass(frozen=True)
class ResultRow:
    """One row of a part: the result of one sample, or of one of its paraphrases.

    tokens: generated ids, the stop token included. token_logprobs: natural log, one for each
    token. logprob: their sum. generation: the whole text; of it `reasoning` is what the model
    thought before it answered, None if it did not, and `prediction` is taken from what follows.
    finish_reason: "stop:" with the stop string, control characters escaped as in JSON, "eos" or
    "length"; None if `error` is set.
    singles: the answers of the paraphrases alone, if the same call computed them.
    confidence: share of the sampled answers that equal `prediction`. sampled: these answers.
    paraphrases: the question and the paraphrases written for it. problems: what is still wrong
    with each, or None. attempts: how often each was drawn. error_kind: set where `error` is.
    """

    row: int
    paraphrase_index: int
    uuid: str
    paraphrase: str | None = None
    prompt: str | None = None
    prediction: str | None = None
    generation: str | None = None
    reasoning: str | None = None
    tokens: list[int] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    logprob: float | None = None
    finish_reason: str | None = None
    singles: list[SingleAnswer] | None = None
    confidence: float | None = None
    sampled: list[str] | None = None
    paraphrases: list[str] | None = None
    problems: list[str | None] | None = None
    attempts: list[int] | None = None
    error: str | None = None
    error_kind: ErrorKind | None = None

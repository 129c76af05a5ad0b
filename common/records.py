"""Records: the samples that a run reads and the rows that it writes, as plain values.

Imports no pyarrow, so the engine takes a Sample as it is. `common.schema` has the columns.
"""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One question. `paraphrases[0]` is the question itself.

    answers: gold answers. uuid: names the sample wherever something is drawn for it; the md5 of
    the question where none is given. num_manual: how many of the paraphrases, the first ones, were
    written by hand, where the data set tells. confidences: of each paraphrase, where a run needs
    them.

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
    """What one paraphrase alone gave: kept beside the answer of an ensemble, for re-use."""

    prediction: str
    tokens: list[int]
    token_logprobs: list[float]
    finish_reason: str


@dataclass(frozen=True)
class ResultRow:
    """One row of a part: what came out for one sample, or for one paraphrase of it.

    tokens: ids generated, the stop token included. token_logprobs: of each (natural log);
    logprob: their sum. finish_reason: "newline", "eos" or "length"; None when `error` is set.
    singles: the answers of the paraphrases alone, where they were computed in the same call.
    confidence, sampled: share of sampled answers equal to `prediction`, and those answers.
    paraphrases, problems, attempts: a question and the paraphrases written for it, what stayed
    wrong with each (None: nothing), and how often each was drawn.
    """

    row: int
    paraphrase_index: int
    uuid: str
    paraphrase: str | None = None
    prompt: str | None = None
    prediction: str | None = None
    generation: str | None = None
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

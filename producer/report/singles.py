"""The single answers of a run as arrays, and votes over many choices of paraphrases at once.

Arrays are (questions, paraphrases), as wide as the question with the most paraphrases. `vote` is
`common.answer_text.majority` for all questions and choices together; a test holds the one to the
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from producer.report.answers import NO_LOGPROB, Reply
from producer.report.statistics import Flags, Values

Integers = np.ndarray[Any, np.dtype[np.int64]]

_BLOCK = 256
"""Questions voted on at a time, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Singles:
    """What each paraphrase alone gave.

    present: whether the question has this paraphrase. said: whether its answer is more than
    punctuation. codes: equal where a question's answers are, as votes compare them. logprobs: mean
    per token.
    """

    present: Flags
    said: Flags
    failed: Flags
    correct: Flags
    codes: Integers
    logprobs: Values

    @property
    def counts(self) -> Integers:
        """How many paraphrases each question has."""
        counts: Integers = self.present.sum(axis=1)
        return counts

    def first(self, paraphrases: int) -> "Singles":
        """The same questions with their first paraphrases only."""
        return Singles(**{name: array[:, :paraphrases] for name, array in vars(self).items()})


def stack(questions: Sequence[Sequence[Reply]]) -> Singles:
    """Make arrays of the single answers of each question."""
    shape = len(questions), max(map(len, questions))
    present, said, failed, correct = (np.zeros(shape, dtype=bool) for _ in range(4))
    codes = np.zeros(shape, dtype=np.int64)
    logprobs = np.full(shape, NO_LOGPROB)
    for n, replies in enumerate(questions):
        known: dict[str, int] = {}
        for i, reply in enumerate(replies):
            present[n, i] = True
            said[n, i] = bool(reply.key)
            failed[n, i] = reply.prediction is None
            correct[n, i] = reply.correct
            codes[n, i] = known.setdefault(reply.key, len(known))
            logprobs[n, i] = reply.mean_logprob
    return Singles(present, said, failed, correct, codes, logprobs)


def vote(singles: Singles, chosen: Flags) -> Flags:
    """Whether the majority is right, (questions, choices), for each choice of paraphrases.

    chosen: (choices, paraphrases). Every question must have a paraphrase in every choice.
    """
    blocks = range(0, len(singles.present), _BLOCK)
    return np.concatenate([_vote_block(_rows(singles, low), chosen) for low in blocks])


def _rows(singles: Singles, low: int) -> Singles:
    return Singles(**{name: array[low : low + _BLOCK] for name, array in vars(singles).items()})


def _vote_block(singles: Singles, chosen: Flags) -> Flags:
    """Arrays here are (questions, choices, paraphrases); groups are numbered by their codes."""
    codes, logprobs = singles.codes[:, None, :], singles.logprobs[:, None, :]
    asked = chosen & singles.present[:, None, :]
    voters = asked & singles.said[:, None, :]
    voters = np.where(voters.any(axis=2, keepdims=True), voters, asked)
    member = (singles.codes[:, :, None] == np.arange(singles.codes.max() + 1)).astype(np.float64)
    sizes = voters @ member
    means = (voters * logprobs) @ member / np.maximum(sizes, 1)
    leading = voters
    for standing in (_of_group(sizes, codes), _of_group(means, codes), logprobs):
        best = np.where(leading, standing, -np.inf)
        leading = leading & (best == best.max(axis=2, keepdims=True))
    winner = leading.argmax(axis=2)
    return np.take_along_axis(singles.correct, winner, axis=1)


def _of_group(figures: Values, codes: Integers) -> Values:
    """A figure of each group, (questions, choices, groups), given to each of its members."""
    return np.take_along_axis(
        figures, np.broadcast_to(codes, (*figures.shape[:2], codes.shape[2])), 2
    )

"""The single answers of paraphrases: the runs that keep them, the answers as arrays, and votes.

Arrays are (questions, paraphrases), as wide as the question with the most paraphrases. `vote` is
`common.answer_text.majority` for all questions and choices at once; a test compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from producer.report.answers import NO_LOGPROB, QuestionResult, Reply
from producer.report.load import RunAnswers
from producer.report.statistics import BoolArray, FloatArray

IntArray = np.ndarray[Any, np.dtype[np.int64]]

SingleAnswers = list[tuple[Reply, ...]]
"""For each question the replies of its paraphrases, in their order."""

_BLOCK = 256
"""Number of questions in one call of the vote, which bounds its memory."""


@dataclass(frozen=True)
class SingleSources:
    """The runs that keep single answers, and why some of them are not analysed.

    by_run: single answers to analyse, by run. same_as: for a run that keeps the answers of an
    earlier run, that run. incomplete: for a run whose answers are missing for some questions,
    the number of questions that have them. lone: runs with one paraphrase per question.
    """

    by_run: dict[str, SingleAnswers] = field(default_factory=dict)
    same_as: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    lone: list[str] = field(default_factory=list)


def find_sources(runs: Sequence[RunAnswers]) -> SingleSources:
    """Sort the runs that keep single answers; those with a row per paraphrase come first."""
    sources = SingleSources()
    for run in sorted(runs, key=lambda run: not run.method.row_per_paraphrase):
        num_kept = _count_kept(run)
        if not num_kept:
            continue
        by_question = [_replies(run, question) for question in run.questions.values()]
        answers = [replies for replies in by_question if replies]
        if len(answers) < len(by_question):
            sources.incomplete[run.key] = num_kept
        elif max(map(len, answers)) < 2:
            sources.lone.append(run.key)
        elif (same := _same(answers, sources)) is not None:
            sources.same_as[run.key] = same
        else:
            sources.by_run[run.key] = answers
    return sources


def _count_kept(run: RunAnswers) -> int:
    if run.method.row_per_paraphrase:
        return len(run.questions)
    return sum(question.singles is not None for question in run.questions.values())


def _replies(run: RunAnswers, question: QuestionResult) -> tuple[Reply, ...] | None:
    """The single answers to a question, None if the run kept none.

    If the question failed, each of its paraphrases counts as failed.
    """
    if run.method.row_per_paraphrase:
        return question.replies
    if question.error is not None:
        paraphrases = question.paraphrases[: run.spec.num_paraphrases]
        return tuple(Reply(None, False, NO_LOGPROB) for _ in paraphrases)
    return question.singles


def _same(answers: SingleAnswers, sources: SingleSources) -> str | None:
    """The earlier run with the same predictions: runs answered together share single answers."""
    predictions = _predictions(answers)
    earlier = sources.by_run.items()
    return next((key for key, other in earlier if _predictions(other) == predictions), None)


def _predictions(answers: SingleAnswers) -> list[list[str | None]]:
    return [[reply.prediction for reply in replies] for replies in answers]


@dataclass(frozen=True)
class Singles:
    """The single answers of one run, as arrays.

    present: whether the question has this paraphrase. has_text: whether its answer is more than
    punctuation. codes: equal for answers of one question that a vote counts as one. logprobs:
    mean per token.
    """

    present: BoolArray
    has_text: BoolArray
    failed: BoolArray
    correct: BoolArray
    codes: IntArray
    logprobs: FloatArray

    @property
    def counts(self) -> IntArray:
        """Number of paraphrases of each question."""
        counts: IntArray = self.present.sum(axis=1)
        return counts

    def first(self, paraphrases: int) -> "Singles":
        """A copy with only the first paraphrases of each question."""
        return Singles(**{name: array[:, :paraphrases] for name, array in vars(self).items()})


def stack(questions: Sequence[Sequence[Reply]]) -> Singles:
    """Make arrays of the single answers of each question."""
    shape = len(questions), max(map(len, questions))
    present, has_text, failed, correct = (np.zeros(shape, dtype=bool) for _ in range(4))
    codes = np.zeros(shape, dtype=np.int64)
    logprobs = np.full(shape, NO_LOGPROB)
    for n, replies in enumerate(questions):
        known: dict[str, int] = {}
        for i, reply in enumerate(replies):
            present[n, i] = True
            has_text[n, i] = bool(reply.key)
            failed[n, i] = reply.prediction is None
            correct[n, i] = reply.correct
            codes[n, i] = known.setdefault(reply.key, len(known))
            logprobs[n, i] = reply.mean_logprob
    return Singles(present, has_text, failed, correct, codes, logprobs)


def vote(singles: Singles, chosen: BoolArray) -> BoolArray:
    """Whether the majority is right, (questions, choices), for each choice of paraphrases.

    chosen: (choices, paraphrases). Every question must have a paraphrase in every choice.
    """
    blocks = range(0, len(singles.present), _BLOCK)
    return np.concatenate([_vote_block(_rows(singles, low), chosen) for low in blocks])


def _rows(singles: Singles, low: int) -> Singles:
    return Singles(**{name: array[low : low + _BLOCK] for name, array in vars(singles).items()})


def _vote_block(singles: Singles, chosen: BoolArray) -> BoolArray:
    """Arrays here are (questions, choices, paraphrases); groups are numbered by their codes."""
    codes, logprobs = singles.codes[:, None, :], singles.logprobs[:, None, :]
    present = chosen & singles.present[:, None, :]
    voters = present & singles.has_text[:, None, :]
    voters = np.where(voters.any(axis=2, keepdims=True), voters, present)
    member = (singles.codes[:, :, None] == np.arange(singles.codes.max() + 1)).astype(np.float64)
    sizes = voters @ member
    means = (voters * logprobs) @ member / np.maximum(sizes, 1)
    leading = voters
    for standing in (_by_member(sizes, codes), _by_member(means, codes), logprobs):
        best = np.where(leading, standing, -np.inf)
        leading = leading & (best == best.max(axis=2, keepdims=True))
    winner = leading.argmax(axis=2)
    return np.take_along_axis(singles.correct, winner, axis=1)


def _by_member(by_group: FloatArray, codes: IntArray) -> FloatArray:
    """(questions, choices, groups) -> (questions, choices, paraphrases): each member's group."""
    return np.take_along_axis(
        by_group, np.broadcast_to(codes, (*by_group.shape[:2], codes.shape[2])), 2
    )

"""The rows of a merged file -> one entry per question, judged by a metric.

Knows the columns of the file, not where it lies or what it is compared with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Literal

from common.answer_text import answer_key, exact_match
from producer.scoring.f1 import token_f1
from producer.scoring.lemmas import lemma_match, lemmas

Metric = Literal["exact", "lemma"]
Judge = Callable[[str | None, Sequence[str]], bool]

NO_LOGPROB = -1e6
"""Of an answer that is not there: below any other, and finite, so means stay numbers."""

_NEEDED = ("uuid", "paraphrases", "answers", "prediction", "tokens", "logprob", "error")
_SINGLES = ("singles",)
_SCORES = ("correct_exact", "correct_f1", "correct_lemma")


@dataclass(frozen=True)
class Reply:
    """What one prompt gave. prediction: None where it failed. mean_logprob: per token."""

    prediction: str | None
    correct: bool
    mean_logprob: float

    @property
    def key(self) -> str:
        """Equal for answers that a vote counts as one; "" where it failed or says nothing."""
        return answer_key(self.prediction or "")


@dataclass(frozen=True)
class QuestionResult:
    """One question and what a run answered.

    replies: one, or one for each paraphrase in a run that has a row for each. f1: of each reply.
    error: of the first reply that failed. singles: the answers of the paraphrases alone.
    """

    uuid: str
    paraphrases: tuple[str, ...]
    answers: tuple[str, ...]
    replies: tuple[Reply, ...]
    f1: tuple[float, ...]
    tokens: int
    error: str | None
    singles: tuple[Reply, ...] | None


def get_judge(metric: Metric) -> Judge:
    """Whether a prediction is right: exact match after normalization, or lemma match."""
    if metric == "exact":
        return exact_match
    known = cache(lemmas)

    def lemmas_match(prediction: str | None, answers: Sequence[str]) -> bool:
        return prediction is not None and lemma_match(known(prediction), map(known, answers))

    return lemmas_match


def columns_of(names: Iterable[str], believe_scores: bool = True) -> list[str]:
    """The columns to read of those a file has; scores only where they are to be believed."""
    optional = _SINGLES + _SCORES if believe_scores else _SINGLES
    return [*_NEEDED, *(name for name in names if name in optional)]


def read_results(rows: Iterable[dict[str, Any]], metric: Metric) -> Iterator[QuestionResult]:
    """One question for each stretch of rows with the same uuid."""
    judge = get_judge(metric)
    for _, stretch in groupby(rows, key=lambda row: row["uuid"]):
        yield _question(list(stretch), metric, judge)


def _question(rows: list[dict[str, Any]], metric: Metric, judge: Judge) -> QuestionResult:
    first = rows[0]
    return QuestionResult(
        uuid=first["uuid"],
        paraphrases=tuple(first["paraphrases"]),
        answers=tuple(first["answers"]),
        replies=tuple(_reply(row, metric, judge) for row in rows),
        f1=tuple(_f1(row) for row in rows),
        tokens=sum(len(row["tokens"] or ()) for row in rows),
        error=next((row["error"] for row in rows if row["error"] is not None), None),
        singles=_singles(first, judge),
    )


def _reply(row: dict[str, Any], metric: Metric, judge: Judge) -> Reply:
    """Scored files are believed; others are judged here, by the same functions."""
    if row["error"] is not None:
        return Reply(None, False, NO_LOGPROB)
    scored = row.get(f"correct_{metric}")
    correct = judge(row["prediction"], row["answers"]) if scored is None else bool(scored)
    tokens, logprob = row["tokens"], row["logprob"]
    known = tokens and logprob is not None
    return Reply(row["prediction"], correct, logprob / len(tokens) if known else NO_LOGPROB)


def _f1(row: dict[str, Any]) -> float:
    if row["error"] is not None:
        return 0.0
    scored = row.get("correct_f1")
    return token_f1(row["prediction"], row["answers"]) if scored is None else float(scored)


def _singles(row: dict[str, Any], judge: Judge) -> tuple[Reply, ...] | None:
    found = row.get("singles")
    if not found or row["error"] is not None:
        return None
    return tuple(_single(single, row["answers"], judge) for single in found)


def _single(single: dict[str, Any], answers: Sequence[str], judge: Judge) -> Reply:
    said, logprobs = single["prediction"], single["token_logprobs"]
    mean = sum(logprobs) / len(logprobs) if logprobs else NO_LOGPROB
    return Reply(said, judge(said, answers), mean)

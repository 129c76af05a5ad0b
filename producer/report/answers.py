"""The rows of a merged file -> one QuestionResult per question, judged by a metric.

Reads the columns of the file; knows neither stores nor other runs.
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
"""Stands for the log-probability of a missing answer: below any other, and finite for means."""

_NEEDED = (
    "uuid", "paraphrases", "answers", "prediction", "tokens", "logprob", "finish_reason", "error",
)  # fmt: skip
_SINGLES = ("singles",)
_SCORES = ("correct_exact", "correct_f1", "correct_lemma")


@dataclass(frozen=True)
class Reply:
    """The answer to one prompt. prediction: None if it failed. mean_logprob: per token."""

    prediction: str | None
    correct: bool
    mean_logprob: float

    @property
    def key(self) -> str:
        """Equal for answers that a vote counts as one; "" for an empty or failed answer."""
        return answer_key(self.prediction or "")


@dataclass(frozen=True)
class QuestionResult:
    """One question and a run's answers to it.

    replies: one, or one per paraphrase in a run with a row per paraphrase. f1: one per reply.
    cut_off: number of replies that ended at the limit of tokens.
    error: the error of the first reply that failed. singles: the answer to each paraphrase alone.
    """

    uuid: str
    paraphrases: tuple[str, ...]
    answers: tuple[str, ...]
    replies: tuple[Reply, ...]
    f1: tuple[float, ...]
    tokens: int
    cut_off: int
    error: str | None
    singles: tuple[Reply, ...] | None


def get_judge(metric: Metric) -> Judge:
    """A function that tells whether a prediction is right, by exact match or by lemma match."""
    if metric == "exact":
        return exact_match
    cached_lemmas = cache(lemmas)

    def lemmas_match(prediction: str | None, answers: Sequence[str]) -> bool:
        return prediction is not None and lemma_match(
            cached_lemmas(prediction), map(cached_lemmas, answers)
        )

    return lemmas_match


def columns_of(names: Iterable[str], believe_scores: bool = True) -> list[str]:
    """The columns that a report reads from a file with these; scores if `believe_scores`."""
    optional = _SINGLES + _SCORES if believe_scores else _SINGLES
    return [*_NEEDED, *(name for name in names if name in optional)]


def read_results(rows: Iterable[dict[str, Any]], metric: Metric) -> Iterator[QuestionResult]:
    """Yield one result for each group of neighbouring rows with the same uuid."""
    judge = get_judge(metric)
    for _, group in groupby(rows, key=lambda row: row["uuid"]):
        yield _question(list(group), metric, judge)


def _question(rows: list[dict[str, Any]], metric: Metric, judge: Judge) -> QuestionResult:
    first = rows[0]
    return QuestionResult(
        uuid=first["uuid"],
        paraphrases=tuple(first["paraphrases"]),
        answers=tuple(first["answers"]),
        replies=tuple(_reply(row, metric, judge) for row in rows),
        f1=tuple(_f1(row) for row in rows),
        tokens=sum(len(row["tokens"] or ()) for row in rows),
        cut_off=sum(row["finish_reason"] == "length" for row in rows),
        error=next((row["error"] for row in rows if row["error"] is not None), None),
        singles=_singles(first, judge),
    )


def _reply(row: dict[str, Any], metric: Metric, judge: Judge) -> Reply:
    """Use the score in the file, or else judge the prediction with the functions of `score`."""
    if row["error"] is not None:
        return Reply(None, False, NO_LOGPROB)
    scored = row.get(f"correct_{metric}")
    correct = judge(row["prediction"], row["answers"]) if scored is None else bool(scored)
    tokens, logprob = row["tokens"], row["logprob"]
    has_logprob = tokens and logprob is not None
    mean = logprob / len(tokens) if has_logprob else NO_LOGPROB
    return Reply(row["prediction"], correct, mean)


def _f1(row: dict[str, Any]) -> float:
    if row["error"] is not None:
        return 0.0
    scored = row.get("correct_f1")
    return token_f1(row["prediction"], row["answers"]) if scored is None else float(scored)


def _singles(row: dict[str, Any], judge: Judge) -> tuple[Reply, ...] | None:
    singles = row.get("singles")
    if not singles or row["error"] is not None:
        return None
    return tuple(_single(single, row["answers"], judge) for single in singles)


def _single(single: dict[str, Any], answers: Sequence[str], judge: Judge) -> Reply:
    prediction, logprobs = single["prediction"], single["token_logprobs"]
    mean = sum(logprobs) / len(logprobs) if logprobs else NO_LOGPROB
    return Reply(prediction, judge(prediction, answers), mean)

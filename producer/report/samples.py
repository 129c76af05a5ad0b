"""The rows of the table of questions: what every run said to each, and who was right."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from producer.report.answers import Reply
from producer.report.compare import comparable_runs
from producer.report.document import SampleRow
from producer.report.load import RunAnswers
from producer.report.singles import SingleSources

T = TypeVar("T")


def sample_rows(runs: Sequence[RunAnswers], sources: SingleSources) -> Iterator[SampleRow]:
    """One row per question, in the order of the data set.

    Predictions are those of runs with one answer to each question. Where there are several runs
    with single answers, those of the first are shown.
    """
    by_run = {run.key: run for run in comparable_runs(runs)}
    source, shown = next(iter(sources.by_run.items()), (None, None))
    for number, (uuid, asked) in enumerate(runs[0].questions.items()):
        given = {key: run.questions[uuid].replies[0] for key, run in by_run.items()}
        singles = shown[number] if shown else None
        correct = {key: reply.correct for key, reply in given.items()}
        errors = {run.key: run.questions[uuid].error for run in runs}
        yield SampleRow(
            uuid=uuid,
            paraphrases=_paraphrases(uuid, runs, source),
            answers=asked.answers,
            predictions={key: reply.prediction for key, reply in given.items()},
            correct=correct,
            errors={key: error for key, error in errors.items() if error is not None},
            singles=_each(singles, lambda reply: reply.prediction or ""),
            singles_correct=_each(singles, lambda reply: reply.correct),
            flips=len(set(correct.values())) > 1,
        )


def _paraphrases(uuid: str, runs: Sequence[RunAnswers], source: str | None) -> tuple[str, ...]:
    """Those the single answers belong to, or else of the run that read the most."""
    found = [run.questions[uuid].paraphrases for run in runs if source in (None, run.key)]
    return max(found, key=len)


def _each(replies: Sequence[Reply] | None, of: Callable[[Reply], T]) -> tuple[T, ...] | None:
    return None if replies is None else tuple(map(of, replies))

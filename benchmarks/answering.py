"""Answering questions with the engine, timed."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Patience, Timed, timed
from common.errors import SampleError
from common.records import Sample
from worker.engine.engine import Engine
from worker.engine.request import Counts, Request
from worker.engine.sample import Answers

WARM_UP_SAMPLES = 64


@dataclass(frozen=True)
class Answered:
    """What answering took. counts: of the repeat in the middle; answers: of the last."""

    time: Timed
    counts: Counts
    answers: list[Answers]

    @property
    def seconds(self) -> float:
        return self.time.seconds

    def tokens(self, method: str) -> list[list[tuple[int, ...]]]:
        """For each sample the tokens of each of its answers."""
        found = [answer[method] for answer in self.answers]
        return [[g.tokens for g in f] for f in found if not isinstance(f, SampleError)]


def answered(
    engine: Engine,
    samples: Sequence[Sample],
    asked: Request,
    patience: Patience,
    warm_up: int = WARM_UP_SAMPLES,
) -> Answered:
    """Answer samples again and again; the first of them, answered once before, are the warm-up.

    Raises SampleError where one is not answered: not answering is fast.
    """
    _refuse_errors(engine.answer(samples[:warm_up], asked))
    counts: list[Counts] = []
    answers: list[Answers] = []

    def work() -> None:
        counts.append(Counts())
        answers[:] = engine.answer(samples, asked, counts[-1])

    time = timed(work, patience)
    _refuse_errors(answers)
    return Answered(time, counts[time.middle], answers)


def _refuse_errors(answers: Sequence[Answers]) -> None:
    for found in (f for answer in answers for f in answer.values()):
        if isinstance(found, SampleError):
            raise found

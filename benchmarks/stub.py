"""A worker whose engine answers at once, so that only the queue and the store take time.

    celery -A benchmarks.stub worker

Celery imports this module in every process of the worker (`imports` below).
"""

from collections.abc import Sequence
from types import SimpleNamespace

from common.records import Sample
from common.run import RunSpec
from worker.app import app
from worker.engine.answer_end import AnswerText
from worker.engine.budget import Budget
from worker.engine.outputs import AnswerReader, EngineOutput, Generation, SampleAnswers
from worker.engine.request import OnAnswered, Request
from worker.engine.stats import EngineStats
from worker.loaded_engine import LoadedEngine
from worker.manager import ModelManager

ANSWER = Generation((1, 2, 3, 4, 5), (-0.25,) * 5, "stop:\\n")
TEXT = AnswerText(" nothing\n", None, " nothing\n")
BUDGET = Budget(pack_tokens=64, cache_bytes=1)


class StubEngine:
    """Returns the same answer for every sample."""

    budget = BUDGET
    tokenizer = SimpleNamespace(
        digest=lambda prompt_format: "stub",
        chat=SimpleNamespace(notes=lambda prompt_format: {}),
    )

    def prompt(self, paraphrase: str, request: Request) -> str:
        return paraphrase

    def run(
        self, samples: Sequence[Sample], request: Request, on_answered: OnAnswered
    ) -> EngineOutput:
        reader = AnswerReader(request, lambda tokens: TEXT)
        generations = {method.name: [ANSWER] for method in request.methods}
        return EngineOutput(
            [SampleAnswers(s, generations, reader) for s in samples], EngineStats()
        )


def _engine_for(self: ModelManager, spec: RunSpec) -> LoadedEngine:
    return LoadedEngine(StubEngine(), "stub", {}, {}, BUDGET)  # type: ignore[arg-type]


ModelManager.engine_for = _engine_for  # type: ignore[method-assign]
app.conf.imports = ("worker.tasks", "benchmarks.stub")

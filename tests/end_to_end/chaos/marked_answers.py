"""A model manager without a model, whose every answer tells the delivery that it belongs to."""

from collections.abc import Sequence
from types import SimpleNamespace

from common.errors import SampleError
from common.methods import Method
from common.prompts import PromptFormat
from common.records import Sample
from common.run import RunSpec
from worker.engine.answer_end import AnswerText
from worker.engine.outputs import (
    AnswerReader,
    EngineOutput,
    EngineStats,
    Generation,
    MethodGenerations,
    SampleAnswers,
)
from worker.engine.request import OnAnswered, Request

TOO_LONG = "id-002"
"""The sample that no worker can answer."""


def mark_of(text: str) -> tuple[str, int] | None:
    """Sample and delivery that a prediction or error is of; None if no engine made it."""
    uuid, found, delivery = text.rpartition(": ")[2].partition("/")
    return (uuid, int(delivery)) if found else None


def text_of(tokens: Sequence[int]) -> AnswerText:
    text = "".join(map(chr, tokens))
    return AnswerText(text, None, text)


def number_of_generations(method: Method, sample: Sample, request: Request) -> int:
    """How many generations the engine returns for a method."""
    if method.sequences != "each" or method.fusion not in ("own", "vote"):
        return 1
    draws = request.sampling.num_draws if method.draws == "also" and request.sampling else 0
    return len(sample.paraphrases) * (1 + draws)


class MarkedAnswers:
    """Stands for the model manager and the engine of one delivery.

    identity: of its weights. flaky: uuid of a sample that an error of the worker meets.
    """

    def __init__(self, delivery: int, identity: str, flaky: str | None) -> None:
        self.identity, self._delivery, self._flaky = identity, delivery, flaky
        self.engine, self.files = self, SimpleNamespace(stamp={})
        self.tokenizer = SimpleNamespace(digest=lambda prompt_format: "prompts")
        self.choices, self.reasons = {"device": "cpu"}, {"device": "there is no other"}

    @property
    def held(self) -> str:
        return "owner/model"

    def engine_for(self, spec: RunSpec) -> "MarkedAnswers":
        return self

    def with_prompt_notes(self, prompt_format: PromptFormat) -> "MarkedAnswers":
        return self

    def reasons_now(self) -> dict[str, str]:
        return self.reasons

    def run(
        self, samples: Sequence[Sample], request: Request, on_answered: OnAnswered
    ) -> EngineOutput:
        if any(sample.uuid == self._flaky for sample in samples):
            raise RuntimeError(f"the worker is at fault: {self._flaky}/{self._delivery}")
        reader = AnswerReader(request, text_of)
        answers = [SampleAnswers(s, self._generations(s, request), reader) for s in samples]
        return EngineOutput(answers, EngineStats())

    def _generations(self, sample: Sample, request: Request) -> MethodGenerations:
        mark = f"{sample.uuid}/{self._delivery}"
        if sample.uuid == TOO_LONG:
            return {method.name: SampleError(f"too long: {mark}") for method in request.methods}
        spoken = Generation(tuple(map(ord, mark)), (-0.5,) * len(mark), "stop:\\n")
        return {
            method.name: [spoken] * number_of_generations(method, sample, request)
            for method in request.methods
        }

    def prompt(self, paraphrase: str, request: Request) -> str:
        return f"Q: {paraphrase}"

"""An engine whose answers a test scripts, and run specs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from common.methods import PARAPHRASES, get_method
from common.prompts import Template
from common.records import Sample
from common.run import RunSpec, SamplingParams
from worker.answering import make_request
from worker.engine.answer_end import AnswerText
from worker.engine.outputs import (
    AnswerReader,
    EngineOutput,
    EngineStats,
    Generation,
    MethodGenerations,
    SampleAnswers,
    ToText,
)
from worker.engine.request import OnAnswered, Request

ONCE = SamplingParams(temperature=1.5, top_p=0.9, num_draws=1)
EXEMPLARS = (
    ("who made it?", "by whom is it?", "whose work is it?"),
    ("where is it?", "in what place is it?", "what is its place?", "it is where?"),
)


def spoken(text: str, *logprobs: float) -> Generation:
    """A generation of a text, with one token per character."""
    tokens = tuple(map(ord, text))
    return Generation(tokens, logprobs or (-0.25,) * len(tokens), "stop:\\n")


def prompt_of(paraphrase: str) -> str:
    return f"asked: {paraphrase}"


def text_of(tokens: Sequence[int]) -> AnswerText:
    """The text of tokens, one for each character, in which nothing is reasoning."""
    text = "".join(map(chr, tokens))
    return AnswerText(text, None, text)


def answers_of(
    sample: Sample, generations: MethodGenerations, spec: RunSpec, to_text: ToText = text_of
) -> SampleAnswers:
    """The answers of a sample to a request of these methods with the options of a spec."""
    methods = tuple(map(get_method, generations))
    request = replace(make_request([spec]), methods=methods)
    return SampleAnswers(sample, generations, AnswerReader(request, to_text))


def make_spec(method: str, **changes: Any) -> RunSpec:
    """A valid spec; `changes` replace fields."""
    fields = {
        "dataset": "quiz", "dataset_sha256": "d" * 64, "num_samples": 7, "model": "owner/model",
        "model_source": "owner/model", "method": method, "num_paraphrases": 3, "layout": None,
        "positions": None, "template": Template(instruction="Say one word."), "few_shot": (),
        "max_new_tokens": 5, "dtype": "float32",
    }  # fmt: skip
    if method == PARAPHRASES.name:
        fields |= {"sampling": ONCE, "exemplars": EXEMPLARS}
    return RunSpec.model_validate(fields | changes)


class ScriptedEngine:
    """Draws what `script(uuid, paraphrase, number)` returns, or raises what it returns.

    draws: every draw in order. shown: the examples of each paraphrase.
    """

    def __init__(self, script: Callable[[str, int, int], Any]) -> None:
        self._script = script
        self.draws: list[tuple[str, int, int]] = []
        self.shown: dict[int, tuple[tuple[str, str], ...]] = {}

    def run(
        self, questions: Sequence[Sample], request: Request, on_answered: OnAnswered
    ) -> EngineOutput:
        drawn = [self._draw(question, request) for question in questions]
        for text in drawn:
            if isinstance(text, Exception):
                raise text
        reader = AnswerReader(request, text_of)
        return EngineOutput(
            [
                SampleAnswers(question, {PARAPHRASES.name: [spoken(text)]}, reader)
                for question, text in zip(questions, drawn, strict=True)
            ],
            EngineStats(),
        )

    def _draw(self, question: Sample, request: Request) -> Any:
        uuid, paraphrase, number = question.uuid.rsplit("/", 2)
        place = uuid, int(paraphrase), int(number)
        self.draws.append(place)
        self.shown[place[1]] = request.prompt_format.few_shot
        return self._script(*place)

"""The workload of the benchmarks, and the engine that a worker would build to answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from benchmarks.questions import NUM_PARAPHRASES, person_questions, texts_of
from common.errors import UsageError
from common.layout import PromptTokens
from common.methods import get_method
from common.models import ModelSource, find_model
from common.prompts import QUESTION_ANSWERING, Example
from common.records import Sample
from common.run import DEFAULT_POSITIONS, DTypeName, Layout, RunSpec
from common.settings import Settings
from producer.datasets.builtin import webqa_mini
from worker.answering import make_request
from worker.engine.request import Request
from worker.loaded_engine import LoadedEngine
from worker.manager import ModelManager
from worker.model.tokenizer import PromptTokenizer

MODEL = "smollm2_135m_it"
RUN_SAMPLES = 10_000
"""Samples of the run that the specs describe: a long run, so its worker compiles."""
MAX_EXAMPLES = 5 + 72
"""Bundled examples, then bundled questions with their answers."""


@dataclass(frozen=True)
class Workload:
    """One call. The defaults are the main claim: 5 paraphrases, 5 examples, 20 tokens."""

    model: str = MODEL
    paraphrases: int = NUM_PARAPHRASES
    examples: int = 5
    max_new_tokens: int = 20
    layout: Layout = "concat"
    dtype: DTypeName = "auto"

    @property
    def source(self) -> ModelSource:
        """Source of the model. Raises UsageError for an unknown model."""
        return find_model(self.model)

    def spec(self, method: str) -> RunSpec:
        """Run spec that the producer would send for this method."""
        has_layout = get_method(method).has_layout
        return RunSpec(
            dataset="benchmark",
            dataset_sha256="",
            num_samples=RUN_SAMPLES,
            model=self.model,
            model_source=self.source.location,
            method=method,
            num_paraphrases=get_method(method).num_read(self.paraphrases),
            layout=self.layout if has_layout else None,
            positions=DEFAULT_POSITIONS[self.layout] if has_layout else None,
            template=QUESTION_ANSWERING,
            few_shot=few_shot(self.examples),
            max_new_tokens=self.max_new_tokens,
            dtype=self.dtype,
        )

    def request(self, *methods: str) -> Request:
        return make_request([self.spec(method) for method in methods])

    def questions(self, count: int) -> list[Sample]:
        """First `count` questions, with this workload's number of paraphrases.

        Raises UsageError if there are fewer.
        """
        return person_questions(count, self.paraphrases)

    def plain_texts(self, questions: Sequence[Sample]) -> list[str]:
        """Text of the plain prompt of every paraphrase, few-shot examples included."""
        request = self.request("origin")
        return [
            request.prompt_format.template.prompt(text, request.prompt_format.few_shot)
            for text in texts_of(questions)
        ]

    def prompt_tokens(
        self, tokenizer: PromptTokenizer, questions: Sequence[Sample]
    ) -> list[PromptTokens]:
        """Tokens of the prompts of each question."""
        request = self.request("per_prompt")
        paraphrases = [question.paraphrases for question in questions]
        return tokenizer.cut_all(request.prompt_format, paraphrases)

    def loaded_engine(self) -> LoadedEngine:
        """Engine that a worker with this machine's settings would build."""
        return ModelManager(Settings.from_environment(), slot=0).engine_for(self.spec("origin"))


def few_shot(count: int) -> tuple[Example, ...]:
    """First `count` of the five bundled examples and, after them, bundled questions with answers.

    Raises UsageError for more than MAX_EXAMPLES.
    """
    dataset = webqa_mini.open_dataset()
    more = ((s.paraphrases[0], s.answers[0]) for s in dataset.samples())
    examples = tuple(islice((*dataset.few_shot(5), *more), count))
    if len(examples) < count:
        raise UsageError(f"there are {MAX_EXAMPLES} bundled examples, not {count}")
    return examples


def without_stops(request: Request) -> Request:
    """The request with no stop string and no end token: every answer has its full length."""
    return replace(request, stop=(), ignore_eos=True)

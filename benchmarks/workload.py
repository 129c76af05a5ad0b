"""What the benchmarks ask, and the engine they ask: the very one that a worker would hold.

The questions are the same in every run of every benchmark; the first n of them are a mixture of
all relations and names. No two share a paraphrase: equal paraphrases would be computed once, and
flatter the figures.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product

from benchmarks.paraphrases import NAMES, NUM_PARAPHRASES, RELATIONS
from common.errors import UsageError
from common.methods import get_method
from common.models import ModelSource, find_model
from common.prompts import QUESTION_ANSWERING, Example
from common.records import Sample
from common.run import DEFAULT_POSITIONS, DTypeName, Layout, RunSpec
from common.settings import Settings
from producer.datasets.builtin import webqa_mini
from worker.answering import make_request
from worker.engine.engine import Engine
from worker.engine.request import Request
from worker.manager import LoadedEngine, ModelManager

MODEL = "smollm2_135m_it"
SEED = 0
MAX_SAMPLES = len(RELATIONS) * len(NAMES)
RUN_SAMPLES = 10_000
"""Of the run that the questions are taken to belong to: a long one, whose worker compiles."""
MAX_EXAMPLES = 5 + 72


@dataclass(frozen=True)
class Workload:
    """The main claim: 5 paraphrases, 5 examples, 20 tokens; or one that differs in some of it."""

    model: str = MODEL
    paraphrases: int = NUM_PARAPHRASES
    examples: int = 5
    max_new_tokens: int = 20
    layout: Layout = "concat"
    dtype: DTypeName = "auto"

    @property
    def source(self) -> ModelSource:
        """Raises UsageError for a model that is none."""
        return find_model(self.model)

    def spec(self, method: str) -> RunSpec:
        """As the producer would send it."""
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
        """The first `count` samples, in this workload's number of paraphrases."""
        if count > MAX_SAMPLES:
            raise UsageError(f"there are {MAX_SAMPLES} benchmark questions, not {count}")
        pairs = list(product(RELATIONS, NAMES))
        random.Random(SEED).shuffle(pairs)
        return [
            Sample(tuple(paraphrase.format(name) for paraphrase in relation[: self.paraphrases]))
            for relation, name in pairs[:count]
        ]

    def held_engine(self) -> LoadedEngine:
        """The engine as a worker of this machine and these settings builds it."""
        return ModelManager(Settings.from_environment(), slot=0).engine_for(self.spec("origin"))


def few_shot(count: int) -> tuple[Example, ...]:
    """The bundled examples; after those five, bundled questions with their answers."""
    source = webqa_mini.open_dataset()
    more = ((s.paraphrases[0], s.answers[0]) for s in source.samples())
    found = tuple(islice((*source.few_shot(5), *more), count))
    if len(found) < count:
        raise UsageError(f"there are {MAX_EXAMPLES} bundled examples, not {count}")
    return found


@contextmanager
def early_stop(engine: Engine, on: bool) -> Iterator[None]:
    """Whether answers end at a newline or EOS inside the block, or at their full length.

    The engine has no switch for it, since nobody else wants what follows the end of an answer: its
    table of stop tokens is emptied here, and here alone.
    """
    kept = engine._stops.clone()
    if not on:
        engine._stops.zero_()
    try:
        yield
    finally:
        engine._stops.copy_(kept)

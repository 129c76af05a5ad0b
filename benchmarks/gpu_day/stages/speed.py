"""Speed of the engine and of the published algorithm on a full-size model."""

from collections.abc import Sequence
from time import perf_counter

from transformers import PreTrainedModel

from benchmarks.baselines.published import ATTENTIONS, published_decode
from benchmarks.engine import METHODS
from benchmarks.gpu_day.stages.answers import answer_row
from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.engines import build_engine
from benchmarks.gpu_day.stages.profile import profile_row
from benchmarks.gpu_day.stages.rows import Figures, Rows
from benchmarks.roofline import Machine
from benchmarks.timed_engine import TimedEngine
from common.layout import pack_fused
from common.run import Layout
from worker.model.tokenizer import PromptTokenizer

SOME = 512
_PUBLISHED_QUESTIONS = 2
_FUSED = ("flex_attention",)


def eager(bench: Bench, rows: Rows) -> None:
    """Measure without compilation: these figures remain if a compiler fails."""
    model = rows.build("model", 30, bench.make_model)
    if model is None:
        return
    # First, before an engine replaces the model's attention.
    for kind in ATTENTIONS:
        rows.measure(f"published {kind}", 25, _published, bench, model, kind)
    table = Speeds.build(bench, rows, model, "cascade", compiled=False)
    if table:
        table.add("flex_attention, some questions", 30, _FUSED, count=SOME, warm_up=64)
        table.add("flex_attention, all questions", 40, _FUSED, warm_up=64)
        table.add_profile("profile", 30, count=64)


def flex(bench: Bench, rows: Rows) -> None:
    """Measure a worker's choice on a GPU: FlexAttention, compiled layers and cascade attention."""
    model = rows.build("model", 30, bench.make_model)
    table = model and Speeds.build(bench, rows, model, "flex", compiled=True)
    if table:
        table.add("flex_attention, some questions", 60, _FUSED, count=SOME)
        table.add("flex_attention, all questions", 60, _FUSED)
        table.add("per_prompt, all questions", 60, ("per_prompt",))
        table.add_profile("profile", 30, count=SOME)


def rest(bench: Bench, rows: Rows) -> None:
    """Measure five methods in one pass, the other layout, and dense attention."""
    model = rows.build("model", 30, bench.make_model)
    table = model and Speeds.build(bench, rows, model, "flex", compiled=True)
    if table:
        table.add("five methods", 60, METHODS, warm_up=256)
        table.add("shared", 60, _FUSED, warm_up=256, layout="shared")
    table = model and Speeds.build(bench, rows, model, "sdpa", compiled=True)
    if table:
        table.add("dense sdpa", 60, _FUSED, warm_up=256)


class Speeds:
    """Rows of one engine, compared with the rates of its machine."""

    def __init__(self, bench: Bench, rows: Rows, engine: TimedEngine, machine: Machine) -> None:
        self._bench, self._rows = bench, rows
        self._engine, self._machine = engine, machine

    @classmethod
    def build(
        cls, bench: Bench, rows: Rows, model: PreTrainedModel, backend: str, compiled: bool
    ) -> "Speeds | None":
        """Build the engine, as a row; return None if that fails."""

        def build() -> Speeds:
            machine = Machine.measure(model)
            engine = build_engine(TimedEngine, model, bench.tokenizer, backend, compiled)
            return cls(bench, rows, engine, machine)

        return rows.build(f"engine, {backend}", 90, build)

    def add(
        self,
        name: str,
        limit: float,
        methods: Sequence[str],
        count: int | None = None,
        warm_up: int = SOME,
        layout: Layout = "concat",
    ) -> None:
        """Measure the first `count` questions, or all questions for None."""
        questions = self._bench.questions[:count]
        self._rows.measure(
            name, limit, answer_row, self._bench, self._engine, self._machine,
            methods, questions, warm_up, layout,
        )  # fmt: skip

    def add_profile(self, name: str, limit: float, count: int) -> None:
        questions = self._bench.questions[:count]
        self._rows.measure(name, limit, profile_row, self._bench, self._engine, questions)


def _published(bench: Bench, model: PreTrainedModel, kind: str) -> Figures:
    """Measure the published algorithm: one question at a time, no cache."""
    tokenizer = PromptTokenizer(bench.tokenizer)
    questions = bench.questions[:_PUBLISHED_QUESTIONS]
    prompt_tokens = bench.workload.prompt_tokens(tokenizer, questions)
    packed = [pack_fused(each, "concat", "sequential") for each in prompt_tokens]
    published_decode(model, packed[0], 1, kind)
    bench.synchronize()
    began = perf_counter()
    for prompt in packed:
        published_decode(model, prompt, bench.workload.max_new_tokens, kind)
    bench.synchronize()
    return {"questions/s": len(packed) / (perf_counter() - began)}

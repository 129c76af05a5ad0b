"""Checks: compare a tiny model on the device, in float32, with the reference on the CPU.

An answer that differs is a figure, not an error: finding one is why a GPU day checks at all.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.baselines.published import ATTENTIONS, published_decode
from benchmarks.engine import METHODS
from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.compare import CheckedAnswer, CheckedAnswers, compare
from benchmarks.gpu_day.stages.engines import build_engine
from benchmarks.gpu_day.stages.recording_engine import RecordingEngine
from benchmarks.gpu_day.stages.reference_answers import (
    WORKLOAD,
    checked_questions,
    kept_answers,
    request_in,
)
from benchmarks.gpu_day.stages.rows import Figures, Rows
from benchmarks.random_llama import llama_config, random_model
from benchmarks.workload import without_stops
from common.layout import pack_fused
from common.run import Layout
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.outputs import SampleAnswers
from worker.model.tokenizer import PromptTokenizer

_PUBLISHED_QUESTIONS = 2


def check_eager(bench: Bench, rows: Rows) -> None:
    """Check the backends that need no compiler, and the published algorithm."""
    _check(bench, rows, ("cascade", "sdpa"), tuple(ATTENTIONS), compiled=False)


def check_flex(bench: Bench, rows: Rows) -> None:
    """Check FlexAttention compiled and the rest eager, so that a fault has one cause."""
    _check(bench, rows, ("flex",), (), compiled=False)


def check_compiled(bench: Bench, rows: Rows) -> None:
    """Check with compiled layers, decode operations and cascade attention."""
    _check(bench, rows, ("cascade", "sdpa"), (), compiled=True)


def _check(
    bench: Bench, rows: Rows, backends: Sequence[str], published: Sequence[str], compiled: bool
) -> None:
    model = random_model(llama_config(tiny=True), torch.float32, torch.device("cpu"))
    wanted = rows.build("reference", 60, kept_answers, bench.scratch, model, bench.tokenizer)
    if wanted is None:
        return
    for kind in published:
        plain = _copy(model, bench.device)
        rows.measure(f"published {kind}", 30, _published, bench, plain, kind, wanted["concat"])
    for backend in backends:
        ours = _copy(model, bench.device)
        engine = rows.build(
            f"engine, {backend}", 60,
            build_engine, RecordingEngine, ours, bench.tokenizer, backend, compiled,
        )  # fmt: skip
        if engine is None:
            continue
        for layout in get_args(Layout):
            rows.measure(f"{backend}, {layout}", 60, _engine, engine, layout, wanted[layout])


def _copy(model: Any, device: torch.device) -> PreTrainedModel:
    moved: PreTrainedModel = copy.deepcopy(model).to(device)
    return moved


def _engine(engine: RecordingEngine, layout: Layout, wanted: CheckedAnswers) -> Figures:
    request = without_stops(request_in(layout))
    output = engine.run(checked_questions(), request)
    if output.stats.prefill_tokens < FLEX_MIN_TOKENS:
        raise ValueError("the questions are too few: a short pack takes another backend")
    logits = engine.logits_of(checked_questions(), request)
    return compare(_checked(output.answers, logits), wanted)


def _checked(
    answers: Sequence[SampleAnswers], logits: Sequence[Mapping[str, Sequence[Tensor]]]
) -> CheckedAnswers:
    """Every answer with its logits. Raises SampleError if a sample has none."""
    return {
        (method, number, index): CheckedAnswer(answer.tokens, steps)
        for number, (answers_of_one, logits_of_one) in enumerate(zip(answers, logits, strict=True))
        for method in METHODS
        for index, (answer, steps) in enumerate(
            zip(answers_of_one.all(method), logits_of_one[method], strict=True)
        )
    }


def _published(bench: Bench, model: PreTrainedModel, kind: str, wanted: CheckedAnswers) -> Figures:
    questions = checked_questions()[:_PUBLISHED_QUESTIONS]
    checked = {}
    prompt_tokens = WORKLOAD.prompt_tokens(PromptTokenizer(bench.tokenizer), questions)
    for number, tokens_of_one in enumerate(prompt_tokens):
        prompt = pack_fused(tokens_of_one, "concat", "sequential")
        with last_logits(model) as steps:
            tokens = published_decode(model, prompt, WORKLOAD.max_new_tokens, kind)
        checked["flex_attention", number, 0] = CheckedAnswer(tokens, torch.stack(steps))
    return compare(checked, wanted)


@contextmanager
def last_logits(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Yield a list to which every call in the block adds the logits [1, V] of its last token."""
    steps: list[Tensor] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        steps.append(output.logits[:, -1].cpu())

    handle = model.register_forward_hook(keep)
    try:
        yield steps
    finally:
        handle.remove()

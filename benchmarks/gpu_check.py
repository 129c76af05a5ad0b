"""What the GPU benchmark checks before it measures: a tiny model gives the reference's tokens.

The engine runs on the device that will be measured, the reference on the CPU, both in float32.
A kernel that does not run here is left out and named; one that answers otherwise stops all.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import torch
from transformers import PreTrainedModel

from benchmarks.gpu_engines import Engines
from benchmarks.prompts import pieces_of
from benchmarks.published import ATTENTIONS, published_decode
from benchmarks.random_llama import llama_config, random_model
from benchmarks.workload import Workload, early_stop
from common.errors import SampleError, UsageError, first_line
from common.layout import PackedPrompt, TokenIds, pack_fused
from common.methods import Method
from common.run import Layout
from worker.engine.attention import FLEX_MIN_TOKENS
from worker.engine.decode import Generated
from worker.engine.reference import reference_decode, reference_prompts
from worker.engine.request import Counts, Question, Request
from worker.engine.tokenise import PromptTokenizer

QUESTIONS = 12
"""To be asked: enough for a pack that is not too short for FlexAttention."""

PUBLISHED_QUESTIONS = 2

_WORDINGS, _EXAMPLES, _TOKENS = 3, 1, 4
_CPU = torch.device("cpu")

Answers = list[list[TokenIds]]
"""For each question the tokens of each of its answers."""


def check(
    engines: Engines, methods: Sequence[str], questions: Sequence[Question], device: torch.device
) -> dict[str, str]:
    """Hold every kernel, and the published algorithm in both its kinds, to the reference.

    Returns why one of them does not run here, by its name. Raises UsageError where an answer is
    another one than the reference's, or no kernel runs.
    """
    model = random_model(llama_config(tiny=True), torch.float32, _CPU)
    asked = [Question(question.wordings[:_WORDINGS]) for question in questions]
    reference = Reference(model, engines, asked)
    wanted = {
        layout: reference.answers(request_of(layout, methods)) for layout in get_args(Layout)
    }
    plain, ours = _copy(model, device), _copy(model, device)
    trials: Mapping[str, Callable[[], None]] = {
        kind: partial(_check_published, kind, plain, engines, asked, wanted["concat"])
        for kind in ATTENTIONS
    } | {
        kernel: partial(_check_kernel, kernel, ours, engines, methods, asked, wanted)
        for kernel in engines.kernels
    }
    unable = {}
    for name, trial in trials.items():
        try:
            trial()
        except UsageError:
            raise
        except Exception as error:  # of a compiler or a driver, which may fail in any way
            unable[name] = first_line(error)
    if unable.keys() >= set(engines.kernels):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unable.items())
        raise UsageError(f"the engine does not run on {device}; try --eager ({reasons})")
    return unable


def _copy(model: Any, device: torch.device) -> PreTrainedModel:
    moved: PreTrainedModel = copy.deepcopy(model).to(device)
    return moved


def request_of(layout: Layout, methods: Sequence[str]) -> Request:
    """As in the table, but small: a reference takes its time."""
    workload = Workload(
        wordings=_WORDINGS, examples=_EXAMPLES, max_new_tokens=_TOKENS, layout=layout
    )
    return workload.request(*methods)


class Reference:
    """The reference's answers; what two methods or layouts ask alike is computed once."""

    def __init__(
        self, model: PreTrainedModel, engines: Engines, asked: Sequence[Question]
    ) -> None:
        self._model, self._asked = model, asked
        self._tokenizer = PromptTokenizer(engines.tokenizer)
        self._stops = torch.zeros(model.config.vocab_size, dtype=torch.long)
        self._known: dict[object, TokenIds] = {}

    def answers(self, request: Request) -> dict[str, Answers]:
        """By method; nothing ends an answer early."""
        return {
            method.name: [self._answer(question, method, request) for question in self._asked]
            for method in request.methods
        }

    def _answer(self, question: Question, method: Method, request: Request) -> list[TokenIds]:
        pieces = self._tokenizer.pieces(question.wordings, request.template, request.few_shot)
        prompts = reference_prompts(pieces, method, request.layout, request.positions)
        return [self._decoded(streams, method) for streams in prompts]

    def _decoded(self, streams: list[PackedPrompt], method: Method) -> TokenIds:
        fusion = method.fusion if len(streams) > 1 else "own"
        key = (*streams, fusion, method.visibility, method.length_corrected)
        if key not in self._known:
            decoded = reference_decode(self._model, streams, method, self._stops, _TOKENS)
            self._known[key] = decoded.tokens
        return self._known[key]


def _check_published(
    kind: str,
    model: PreTrainedModel,
    engines: Engines,
    asked: Sequence[Question],
    wanted: dict[str, Answers],
) -> None:
    some = asked[:PUBLISHED_QUESTIONS]
    workload = Workload(wordings=_WORDINGS, examples=_EXAMPLES)
    pieces = pieces_of(PromptTokenizer(engines.tokenizer), some, workload)
    packed = [pack_fused(each, "concat", "sequential") for each in pieces]
    got = [[published_decode(model, prompt, _TOKENS, kind)] for prompt in packed]
    right = wanted["flex_attention"][: len(some)]
    _refuse_others(got, right, f"the published algorithm ({kind})", model.device)


def _check_kernel(
    kernel: str,
    model: PreTrainedModel,
    engines: Engines,
    methods: Sequence[str],
    asked: Sequence[Question],
    wanted: dict[Layout, dict[str, Answers]],
) -> None:
    engine = engines.build(model, kernel)
    for layout, answers in wanted.items():
        counts = Counts()
        with early_stop(engine, on=False):
            given = engine.answer(asked, request_of(layout, methods), counts)
        if counts.prefill_tokens < FLEX_MIN_TOKENS:
            raise UsageError(f"{len(asked)} questions are too few to check a kernel with")
        for method in methods:
            got = [tokens_of(answer[method]) for answer in given]
            what = f"{method}, layout {layout}, kernel {kernel},"
            _refuse_others(got, answers[method], what, model.device)


def tokens_of(found: list[Generated] | SampleError) -> list[TokenIds]:
    """Of every answer to one question."""
    if isinstance(found, SampleError):
        raise found
    return [generated.tokens for generated in found]


def _refuse_others(got: Answers, wanted: Answers, what: str, device: torch.device) -> None:
    pairs = zip(got, wanted, strict=True)
    other = [number for number, (mine, right) in enumerate(pairs) if mine != right]
    if other:
        raise UsageError(
            f"{what} does not give the reference's tokens on {device}: {len(other)} of "
            f"{len(wanted)} questions differ, the first is number {other[0]}; nothing is measured"
        )

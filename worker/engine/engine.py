"""The engine's front: samples and methods in, answers out.

One call prefills what all its methods need once, decodes all their streams in one loop, and
hands each method its answers.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.errors import SampleError
from common.methods import Method
from common.prompts import Example, Template
from common.run import Layout, Positions
from worker.engine.attention import Kernel, install_attention
from worker.engine.cohort import Cohort, similar_streams
from worker.engine.decode import Batch, Ensemble, Generated, Results, decode, fusion_groups
from worker.engine.kv_cache import Prefilled, prefill
from worker.engine.layout import Pieces, pack_fused, pack_plain
from worker.engine.masks import generate_isolated_visibility
from worker.engine.plan import Cutter, Stream, distinct_segments, plan_stream
from worker.engine.rotary import can_move_keys
from worker.engine.tokenise import PromptTokenizer, common_prefix

T = TypeVar("T")

Answers = dict[str, list[Generated]]
"""By method name: one Generated, or one for each wording."""


@dataclass(frozen=True)
class Request:
    """What is asked of every sample of a call."""

    methods: tuple[Method, ...]
    num_wordings: int
    layout: Layout
    positions: Positions
    template: Template
    few_shot: tuple[Example, ...]
    max_new_tokens: int


@dataclass
class Counts:
    """Work done by a call: tokens computed in prefill, fed in decode, and seconds of each."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """One sample's ensembles, and for each method those that answer it, in wording order."""

    ensembles: tuple[Ensemble, ...]
    by_method: dict[str, tuple[Ensemble, ...]]

    @property
    def streams(self) -> list[Stream]:
        return [stream for ensemble in self.ensembles for stream in ensemble.streams]


@dataclass
class _Resident:
    """The prefix shared by the samples of a run, kept from call to call."""

    key: object = None
    cutter: Cutter = field(default_factory=lambda: Cutter((), False))
    done: Prefilled | None = None


class Engine:
    """A model that answers samples in several wordings.

    pack_tokens: tokens in one prefill row. cache_bytes: keys and values decoded at once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        kernel: Kernel,
        pack_tokens: int = 4096,
        cache_bytes: int = 2 << 30,
    ) -> None:
        install_attention(model)
        self.model = model.eval()
        self.tokenizer = PromptTokenizer(tokenizer)
        self.kernel = kernel
        self.pack_tokens = pack_tokens
        self.cache_bytes = cache_bytes
        self._movable = can_move_keys(model)
        self._resident = _Resident()
        stops = self.tokenizer.stops(model.config.vocab_size, _eos_ids(model, tokenizer))
        self._stops = stops.to(model.device)

    @torch.inference_mode()
    def answer(
        self, samples: Sequence[Sequence[str]], request: Request, counts: Counts | None = None
    ) -> list[Answers | SampleError]:
        """For each sample (its wordings) its answers by method name.

        A sample that is empty or longer than the model reads gets a SampleError in its place.
        """
        counts = counts or Counts()
        planned = [self._plan_or_error(wordings, request) for wordings in samples]
        plans = [plan for plan in planned if isinstance(plan, Plan)]
        answers = (
            answer
            for batch in self._batches(plans, request)
            for answer in self._answer_batch(batch, request, counts)
        )
        return [next(answers) if isinstance(plan, Plan) else plan for plan in planned]

    def text(self, generated: Generated) -> str:
        """The decoded text of an answer."""
        return self.tokenizer.text(generated.tokens)

    def _plan_or_error(self, wordings: Sequence[str], request: Request) -> "Plan | SampleError":
        try:
            pieces = self._pieces(wordings, request)
            self._keep_resident(pieces, request)
            plan = plan_sample(pieces, request, self._resident.cutter)
            self._check_length(plan, request)
        except SampleError as error:
            return error
        return plan

    def _pieces(self, wordings: Sequence[str], request: Request) -> Pieces:
        wordings = wordings[: request.num_wordings]
        if len(wordings) < request.num_wordings:
            raise SampleError(f"it has {len(wordings)} wordings, not {request.num_wordings}")
        return self.tokenizer.pieces(wordings, request.template, request.few_shot)

    def _keep_resident(self, pieces: Pieces, request: Request) -> None:
        """Compute the shared prefix, unless the last call had the same."""
        key = (request.template, request.few_shot)
        if self._resident.key == key:
            return
        common = common_prefix(pieces.prefix, pieces.prompts[0])
        cutter = Cutter((pieces.bos, common), self._movable)
        bos = cutter.views(pieces.bos, 0, ())
        views = [*bos, *cutter.views(common, len(pieces.bos), bos)]
        segments = [view.segment for view in views]
        done = prefill(self.model, self.kernel, segments, Prefilled.empty(self.model))
        self._resident = _Resident(key, cutter, done)

    def _check_length(self, plan: Plan, request: Request) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        needed = max(s.position + 1 for s in plan.streams) + request.max_new_tokens
        if limit is not None and needed > limit:
            raise SampleError(
                f"its prompt and answer take {needed} positions, the model has {limit}"
            )

    def _batches(self, plans: Sequence[Plan], request: Request) -> Iterator[list[Plan]]:
        """Neighbouring samples whose keys and values fit the cache together."""
        keys = self._resident.done.keys if self._resident.done else torch.empty(0, 0, 0, 0)
        slot_bytes = 2 * keys.shape[0] * keys.shape[1] * keys.shape[3] * keys.element_size()
        budget = max(1, self.cache_bytes // slot_bytes)
        yield from cut_where_full(
            plans,
            lambda p: sum(s.num_keys + request.max_new_tokens for s in p.streams),
            budget,
        )

    def _answer_batch(
        self, plans: Sequence[Plan], request: Request, counts: Counts
    ) -> list[Answers]:
        cohorts, streams = self._prefill(plans, request, counts)
        started = time.perf_counter()
        row_of: dict[Stream, list[int]] = {}
        for row, stream in enumerate(streams):
            row_of.setdefault(stream, []).append(row)
        ensembles = [ensemble for plan in plans for ensemble in plan.ensembles]
        device = self.model.device
        batch = Batch(cohorts, streams, fusion_groups(ensembles, row_of, device))
        results = Results(len(ensembles), request.max_new_tokens, device)
        counts.decode_tokens += decode(self.model, batch, results, self._stops)
        generated = iter(results.generated())
        answers = [_hand_out(plan, generated) for plan in plans]
        counts.decode_seconds += time.perf_counter() - started
        return answers

    def _prefill(
        self, plans: Sequence[Plan], request: Request, counts: Counts
    ) -> tuple[list[Cohort], list[Stream]]:
        """Prefill in packs; returns the cohorts and the streams in the cohorts' row order."""
        resident = self._resident.done
        assert resident is not None
        started = time.perf_counter()
        cohorts: list[Cohort] = []
        rows: list[Stream] = []
        for pack in cut_where_full(plans, lambda p: _new_tokens([p], resident), self.pack_tokens):
            streams = [stream for plan in pack for stream in plan.streams]
            done = prefill(self.model, self.kernel, distinct_segments(streams), resident)
            counts.prefill_tokens += done.num_slots - resident.num_slots
            for members in similar_streams(streams, done, resident):
                same = [streams[i] for i in members]
                cohorts.append(Cohort(self.model, same, done, resident, request.max_new_tokens))
                rows += same
        counts.prefill_seconds += time.perf_counter() - started
        return cohorts, rows


def plan_sample(pieces: Pieces, request: Request, cutter: Cutter) -> Plan:
    """The ensembles of one sample. Methods that ask for equal ensembles share one."""
    n = len(pieces.prompts)
    single = generate_isolated_visibility(1)
    extra = pieces.segments if request.layout == "shared" else ()
    # The plain prompt without its last token, which a stream of its own feeds in decoding.
    whole = [cutter.rest(prompt)[:-1] for prompt in pieces.prompts if request.layout == "concat"]
    plain = [
        plan_stream(pack_plain(pieces, i), single, cutter, extra[i : i + 1])
        for i in range(n if any(m.streams != "fused" for m in request.methods) else 0)
    ]
    by_method = {}
    for method in request.methods:
        if method.streams == "fused":
            prompt = pack_fused(pieces, request.layout, request.positions)
            visible = generate_isolated_visibility(prompt.num_segments)
            streams = [plan_stream(prompt, visible, cutter, whole)]
        else:
            streams = plain if method.streams == "each" else plain[:1]
        by_method[method.name] = _ensembles(streams, method)
    distinct = dict.fromkeys(e for ensembles in by_method.values() for e in ensembles)
    return Plan(tuple(distinct), by_method)


def _ensembles(streams: Sequence[Stream], method: Method) -> tuple[Ensemble, ...]:
    if method.fusion == "own" or len(streams) == 1:
        return tuple(Ensemble((stream,), "own") for stream in streams)
    return (Ensemble(tuple(streams), method.fusion),)


def _hand_out(plan: Plan, generated: Iterator[Generated]) -> Answers:
    of = {ensemble: next(generated) for ensemble in plan.ensembles}
    return {name: [of[e] for e in ensembles] for name, ensembles in plan.by_method.items()}


def _new_tokens(plans: Sequence[Plan], resident: Prefilled) -> int:
    streams = [stream for plan in plans for stream in plan.streams]
    return sum(len(s.tokens) for s in distinct_segments(streams) if s not in resident.slots)


def cut_where_full(items: Sequence[T], size: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Cut a sequence into runs whose sizes add up to at most `budget`, or single items."""
    run: list[T] = []
    used = 0
    for item in items:
        needed = size(item)
        if run and used + needed > budget:
            yield run
            run, used = [], 0
        run.append(item)
        used += needed
    if run:
        yield run


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return sorted({int(i) for i in ids if i is not None})

"""One sample: its pieces and the methods asked for -> the ensembles that answer it.

Methods that ask for equal ensembles share one; ensembles that need equal segments share those.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from common.errors import SampleError
from common.layout import Pieces, pack_fused, pack_plain
from common.methods import Method
from common.visibility import generate_isolated_visibility
from worker.engine.decode import Ensemble, Generated
from worker.engine.plan import Cutter, Stream, plan_stream
from worker.engine.request import Request

Answers = dict[str, list[Generated] | SampleError]
"""By method name: one Generated, or one for each wording, or why there is none."""


@dataclass(frozen=True)
class SamplePlan:
    """For each method the ensembles that answer it, in wording order, or why none can."""

    by_method: dict[str, tuple[Ensemble, ...]]
    errors: Mapping[str, SampleError] = field(default_factory=dict)

    @cached_property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """Each once, whichever methods want it."""
        wanted = (e for ensembles in self.by_method.values() for e in ensembles)
        return tuple(dict.fromkeys(wanted))

    @property
    def streams(self) -> list[Stream]:
        return [stream for ensemble in self.ensembles for stream in ensemble.streams]


def readable_methods(
    wordings: Sequence[str], request: Request
) -> tuple[tuple[Method, ...], dict[str, SampleError]]:
    """The methods whose wordings are all there and not empty, and why the others are not.

    Method by method: what one of them cannot read must not cost another its answer, or a run
    would depend on what it was asked together with.
    """
    errors = {}
    for method in request.methods:
        needed = method.num_wordings(request.num_wordings)
        empty = [i for i, wording in enumerate(wordings[:needed]) if not wording.strip()]
        if len(wordings) < needed:
            errors[method.name] = SampleError(f"it has {len(wordings)} wordings, not {needed}")
        elif empty:
            errors[method.name] = SampleError(f"wording {empty[0]} is empty")
    return tuple(m for m in request.methods if m.name not in errors), errors


def without_too_long(
    plan: SamplePlan, errors: Mapping[str, SampleError], max_new_tokens: int, limit: int | None
) -> SamplePlan:
    """The plan without methods whose streams are longer than the model's `limit` positions."""
    by_method, found = {}, dict(errors)
    for name, ensembles in plan.by_method.items():
        last = max(stream.position for ensemble in ensembles for stream in ensemble.streams)
        needed = last + 1 + max_new_tokens
        if limit is not None and needed > limit:
            found[name] = SampleError(
                f"its prompt and answer take {needed} positions, the model has {limit}"
            )
        else:
            by_method[name] = ensembles
    return SamplePlan(by_method, found)


def plan_sample(pieces: Pieces, request: Request, cutter: Cutter) -> SamplePlan:
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
    return SamplePlan(by_method)


def _ensembles(streams: Sequence[Stream], method: Method) -> tuple[Ensemble, ...]:
    if method.fusion == "own" or len(streams) == 1:
        return tuple(Ensemble((stream,), "own") for stream in streams)
    return (Ensemble(tuple(streams), method.fusion),)


def hand_out(plan: SamplePlan, generated: Iterator[Generated]) -> Answers:
    """Take the plan's ensembles' results, in their order, and give each method its own."""
    of = {ensemble: next(generated) for ensemble in plan.ensembles}
    answers = {name: [of[e] for e in found] for name, found in plan.by_method.items()}
    return {**answers, **plan.errors}

"""Compilation: layers and functions that torch turns into fewer passes over memory; when it pays.

The model keeps the `forward` its authors wrote. Each decoder layer is compiled in place
("regional compilation"): all layers share one compilation, for dynamic shapes, with a graph
break at `attention_forward`, which is not traced. Functions of tensors are compiled whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule
from transformers import PreTrainedModel

from common.methods import Fusion
from worker.engine.attention.cascade import AttendCascade, cascade
from worker.engine.sampler import PickBest, pick_best
from worker.model.decoder_layers import decoder_layers
from worker.model.resolved_setting import ResolvedSetting

COMPILE_FROM = 2000
"""Runs of at least this many samples gain more time from compiling than it takes.

Compiling took 17 s on 2 cores with code kept on disk, and a minute more the first time.
SmolLM2-135M then takes 33 ms for a question instead of 40; larger models save the same share."""

TOO_FEW = f"below {COMPILE_FROM} samples compiling takes longer than it saves"
ASKED_FOR = "SELF_ENSEMBLE_COMPILE asks for it"


def wants_compiled(setting: str, num_samples: int | None) -> ResolvedSetting:
    """Decide whether to compile for a run of `num_samples` samples; None if not known yet."""
    if setting != "auto":
        value = "compiled" if setting == "always" else "eager"
        return ResolvedSetting(value, ASKED_FOR)
    if num_samples is not None and num_samples < COMPILE_FROM:
        return ResolvedSetting("eager", TOO_FEW)
    return ResolvedSetting(
        "compiled", f"from {COMPILE_FROM} samples on it saves more than it takes"
    )


class CountedInductor:
    """torch's inductor, which counts the runs of the graphs that it has compiled.

    torch may run a layer as written without an error: where it is switched off, cannot trace the
    layer, or has compiled it too often. The number of runs tells.
    """

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, graph: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        # Not above: it takes seconds to import, and most runs compile nothing.
        from torch._inductor.compile_fx import compile_fx

        compiled: Any = compile_fx(graph, inputs)

        def run(*arguments: Any) -> Any:
            self.runs += 1
            return compiled(*arguments)

        return run


LAYER_INDUCTOR = CountedInductor()
"""Compiles the decoder layers of this process."""


def compile_layers(model: PreTrainedModel) -> None:
    """Let torch compile the decoder layers at their next call."""
    for layer in decoder_layers(model):
        layer.compile(backend=LAYER_INDUCTOR, dynamic=True)


def uncompile_layers(model: PreTrainedModel) -> None:
    """Let the decoder layers run as written again."""
    for layer in decoder_layers(model):
        # `Module.compile` sets this attribute, and torch has no call that resets it.
        layer._compiled_call_impl = None


@contextmanager
def refuse_eager_layers(model: PreTrainedModel, least: int) -> Iterator[None]:
    """Raise RuntimeError unless each decoder layer runs compiled code in `least` calls in here."""
    layers: list[Any] = list(decoder_layers(model))
    compiled = [0] * len(layers)
    calls = [layer._compiled_call_impl for layer in layers]
    for number, layer in enumerate(layers):
        if call := layer._compiled_call_impl:
            layer._compiled_call_impl = partial(_count_compiled, call, compiled, number)
    try:
        with torch._dynamo.config.patch(suppress_errors=False, fail_on_recompile_limit_hit=True):
            yield
    finally:
        for layer, call in zip(layers, calls, strict=True):
            layer._compiled_call_impl = call
    if min(compiled) < least:
        raise RuntimeError(
            f"torch ran layer {compiled.index(min(compiled))} as written: compiled code ran in "
            f"{min(compiled)} of its calls, not in {least}; look at TORCH_COMPILE_DISABLE, "
            "TORCHDYNAMO_DISABLE and TORCH_LOGS=graph_breaks"
        )


def _count_compiled(
    call: Callable[..., Any], compiled: list[int], number: int, *arguments: Any, **named: Any
) -> Any:
    """Call a layer, and count the call if it ran compiled code."""
    before = LAYER_INDUCTOR.runs
    output = call(*arguments, **named)
    compiled[number] += LAYER_INDUCTOR.runs > before
    return output


def eager_if_single(rows: int) -> AbstractContextManager[Any]:
    """Return a context in which compiled code runs eagerly if there is one row only.

    torch compiles a size of 1 separately, which takes longer than it can save.
    """
    if rows == 1:
        eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()


@cache
def compiled_form(function: Any) -> Any:
    """Return a function compiled for dynamic shapes, without graph breaks."""
    return torch.compile(function, dynamic=True, fullgraph=True)


def compiled_cascade(
    query: Tensor,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    prefix_bias: Tensor,
    suffix_keys: Tensor,
    suffix_values: Tensor,
    suffix_bias: Tensor,
    rotation: tuple[Tensor, Tensor] | None = None,
    softcap: float | None = None,
) -> Tensor:
    """`cascade`, compiled."""
    prefix = prefix_keys, prefix_values, prefix_bias
    suffix = suffix_keys, suffix_values, suffix_bias
    with eager_if_single(min(len(query), suffix_bias.shape[-1])):
        output: Tensor = compiled_form(cascade)(query, *prefix, *suffix, rotation, softcap)
    return output


def compiled_pick_best(
    logits: Tensor, fusion: Fusion, weights: Tensor | None, forced: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`pick_best`, compiled; it reads the logits without a float32 copy."""
    pick: PickBest = compiled_form(pick_best)
    with eager_if_single(len(logits)):
        return pick(logits, fusion, weights, forced)


class DecodeOps(NamedTuple):
    """The operations of a decode step that can be compiled.

    Cascade attention, called in every layer, and the choice of the best next token.
    """

    attend: AttendCascade
    pick_best: PickBest


EAGER = DecodeOps(cascade, pick_best)
COMPILED = DecodeOps(compiled_cascade, compiled_pick_best)
"""torch compiles each at its first call."""

"""Independence: outside the attention a token's result depends on token and position only.

The engine puts unrelated prompts into one row and computes common parts once. That is right only
for models that mix tokens in the attention and nowhere else, and that know a token's place by its
position and not by its place in the row. Nothing is assumed about a family: one row is computed
in both orders and beside a distant neighbour, and the results are compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from common.errors import StopRun
from worker.model.config_facts import ConfigFacts
from worker.model.decoder_layers import decoder_layers
from worker.model.probe import PROBE_TOKENS, ProbeOutput, differs, probe

_FIRST_POSITIONS = tuple(range(len(PROBE_TOKENS)))


class _Past(DynamicCache):
    """A cache that reports `length` keys before the row and holds none."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def get_seq_length(self, *_: Any) -> int:
        return self.length

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        return key_states, value_states


def row_alone(model: PreTrainedModel) -> ProbeOutput:
    """Compute the probe's tokens at the first positions, followed by one more token.

    Returns the output of the probe's tokens.
    """
    return _row(model, _FIRST_POSITIONS[-1] + 1)


def same_beside_others(
    model: PreTrainedModel, facts: ConfigFacts, alone: ProbeOutput, positions: int
) -> int:
    """Return the number of positions at which neighbours do not change each other's results.

    This is `positions` unless the model's rotary factors depend on the largest position of a row.
    alone: the result of `row_alone`. Raises StopRun if neighbours change each other's results in
    another way.
    """
    if _same(model, alone, _row(model, positions - 1, reverse=True)):
        _refuse_counting_in_the_row(model, alone, positions - 1)
        return min(_declared(facts, positions, ("longrope",)))
    if not _same(model, alone, _row(model, _FIRST_POSITIONS[-1] + 1, reverse=True)):
        raise StopRun(_mixing(model, facts))
    return min(_farthest(model, alone, positions), *_declared(facts, positions))


def _row(model: PreTrainedModel, last: int, reverse: bool = False) -> ProbeOutput:
    """Compute the probe's tokens and a neighbour at position `last`, in order or reversed.

    Returns the output of the probe's tokens, in order.
    """
    tokens, positions = (*PROBE_TOKENS, PROBE_TOKENS[0]), (*_FIRST_POSITIONS, last)
    step = -1 if reverse else 1
    output = probe(model, tokens[::step], positions[::step])
    calls = [
        call._replace(
            query=_ordered(call.query, reverse),
            key=_ordered(call.key, reverse),
            value=_ordered(call.value, reverse),
        )
        for call in output.calls
    ]
    return ProbeOutput(calls, output.logits)


def _ordered(x: Tensor, reverse: bool) -> Tensor:
    return (x.flip(1) if reverse else x)[:, : len(PROBE_TOKENS)]


def _same(model: PreTrainedModel, a: ProbeOutput, b: ProbeOutput) -> bool:
    """Whether most tokens have equal queries, keys and values in every layer.

    Not all tokens, because in half precision rounding may send one to another expert; the faults
    that this looks for change all tokens, or all but the first.
    """
    return len(a.calls) == len(b.calls) and not any(
        median_error(computed, expected) > tolerance_of(model)
        for one, other in zip(a.calls, b.calls, strict=True)
        for computed, expected in zip(other[1:], one[1:], strict=True)
    )


def median_error(computed: Tensor, expected: Tensor) -> float:
    """Return the median error of the tokens of [H, T, D].

    A token's error is the norm of its difference over the norm of its expected value. NaN equals
    NaN, because other checks look for damaged weights.
    """
    computed, expected = (x.float().nan_to_num() for x in (computed, expected))
    size = expected.norm(dim=(0, 2)).clamp(min=torch.finfo(torch.float32).tiny)
    return float(((computed - expected).norm(dim=(0, 2)) / size).median())


def tolerance_of(model: PreTrainedModel) -> float:
    """Return the largest relative difference of equal computations that round differently."""
    return 1e-4 if model.dtype == torch.float32 else 0.02


def _farthest(model: PreTrainedModel, alone: ProbeOutput, positions: int) -> int:
    """Return the largest number of positions that changes nothing, by bisection."""
    right, wrong = len(PROBE_TOKENS) + 1, positions
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if _same(model, alone, _row(model, middle - 1)):
            right = middle
        else:
            wrong = middle
    _row(model, _FIRST_POSITIONS[-1] + 1)  # Resets factors that the model keeps of a longer row.
    return right


def _declared(
    facts: ConfigFacts, positions: int, kinds: Sequence[str] | None = None
) -> Iterator[int]:
    """Yield `positions`, and the lengths at which the config lets rotary factors change.

    Computing them is not enough: a change may begin small, and at low frequencies half precision
    does not show small changes. kinds: the rope types that count; None for all.
    """
    yield positions
    for rope in facts.ropes:
        if rope.original_positions and (kinds is None or rope.kind in kinds):
            yield rope.original_positions


def _refuse_counting_in_the_row(model: PreTrainedModel, alone: ProbeOutput, past: int) -> None:
    """Raise StopRun if results depend on the number of tokens before a token in the row."""
    tokens, positions = (*PROBE_TOKENS, PROBE_TOKENS[0]), range(len(PROBE_TOKENS) + 1)
    output = probe(model, tokens, positions, _Past(past))
    calls = [c._replace(**{n: getattr(c, n)[:, :-1] for n in c._fields[1:]}) for c in output.calls]
    if not _same(model, alone, ProbeOutput(calls, output.logits)):
        raise StopRun(
            f"{type(model).__name__} cannot be used here: it scales its queries or keys by how "
            "many tokens lie before one in the row, not by the token's position, so an answer "
            "would change with its neighbours"
        )


def _mixing(model: PreTrainedModel, facts: ConfigFacts) -> str:
    """Name the layer that mixes tokens, and its part."""
    layers = decoder_layers(model)
    number = _first_difference(model, layers)
    if number is None:
        where = "it places tokens by where they lie in the row, or mixes them, before its layers"
    else:
        kinds = facts.layer_types
        kind = f", {kinds[number]}" if len(kinds) == len(layers) else ""
        parts = list(layers[number].children())
        part = _first_difference(model, parts)
        by = "" if part is None else f" in its {type(parts[part]).__name__}"
        where = f"layer {number} ({type(layers[number]).__name__}{kind}) mixes tokens{by}"
    return (
        f"{type(model).__name__} cannot be used here: {where}, outside the attention, where "
        "prompts that lie side by side cannot be kept apart"
    )


def _first_difference(model: PreTrainedModel, modules: Sequence[nn.Module]) -> int | None:
    """Return the index of the first module whose output for a token depends on its neighbours."""
    forward, backward = (_outputs(model, modules, reverse) for reverse in (False, True))
    both = [number for number in sorted(forward) if number in backward]
    return next((n for n in both if differs(backward[n], forward[n], tolerance_of(model))), None)


def _outputs(
    model: PreTrainedModel, modules: Sequence[nn.Module], reverse: bool
) -> dict[int, Tensor]:
    """Return the output of each module for the probe's tokens, [T, width]."""
    outputs: dict[int, Tensor] = {}

    def note(number: int, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.shape[:2] == (1, len(PROBE_TOKENS) + 1):
            outputs[number] = _ordered(first, reverse)[0].nan_to_num()

    with ExitStack() as hooks:
        for number, module in enumerate(modules):
            hook = module.register_forward_hook(lambda _, __, out, n=number: note(n, out))
            hooks.callback(hook.remove)
        _row(model, _FIRST_POSITIONS[-1] + 1, reverse)
    return outputs

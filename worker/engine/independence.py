"""Independence: what a token's layers compute follows from the token and its position alone.

The engine puts unrelated prompts side by side in one row and computes common parts once, which
is right only for models that mix tokens in the attention and nowhere else, and that place a
token by its position and not by where it lies in the row. Nothing is assumed of a family: its
rows are computed in two orders and beside a far neighbour, and compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from common.errors import StopRun
from worker.engine.layers import decoder_layers
from worker.engine.probe import PROBE_TOKENS, Probed, differs, probe

_NEAR = tuple(range(len(PROBE_TOKENS)))


class _Past(DynamicCache):
    """Stands for `length` keys before the row and holds none of them."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def get_seq_length(self, *_: Any) -> int:
        return self.length

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        return key_states, value_states


def row_alone(model: PreTrainedModel) -> Probed:
    """The probe's tokens and one more at the positions from 0 on; what is told of the first."""
    return _row(model, _NEAR[-1] + 1)


def same_beside_others(model: PreTrainedModel, alone: Probed, positions: int) -> int:
    """How far a neighbour may lie, in positions, without changing what others compute.

    That is `positions` but for models whose rotary factors follow the farthest position of a
    row. alone: `row_alone` of the model. Raises StopRun where neighbours change each other
    otherwise.
    """
    if _same(model, alone, _row(model, positions - 1, turned=True)):
        _refuse_counting_in_the_row(model, alone, positions - 1)
        return min(_declared(model, positions, ("longrope",)))
    if not _same(model, alone, _row(model, _NEAR[-1] + 1, turned=True)):
        raise StopRun(_mixing(model))
    return min(_farthest(model, alone, positions), *_declared(model, positions))


def _row(model: PreTrainedModel, far: int, turned: bool = False) -> Probed:
    """The probe's tokens and one at position `far`, in either order; what is told of the first."""
    tokens, places = (*PROBE_TOKENS, PROBE_TOKENS[0]), (*_NEAR, far)
    step = -1 if turned else 1
    found = probe(model, tokens[::step], places[::step])
    calls = [
        call._replace(
            query=_ordered(call.query, turned),
            key=_ordered(call.key, turned),
            value=_ordered(call.value, turned),
        )
        for call in found.calls
    ]
    return Probed(calls, found.logits)


def _ordered(x: Tensor, turned: bool) -> Tensor:
    return (x.flip(1) if turned else x)[:, : len(_NEAR)]


def _same(model: PreTrainedModel, a: Probed, b: Probed) -> bool:
    """Whether most tokens have equal queries, keys and values in every layer.

    Most, because in half precision rounding may send a token to another expert; what is looked
    for here changes all of them, or all but the first.
    """
    return len(a.calls) == len(b.calls) and not any(
        median_error(found, wanted) > tolerance_of(model)
        for one, other in zip(a.calls, b.calls, strict=True)
        for found, wanted in zip(other[1:], one[1:], strict=True)
    )


def median_error(found: Tensor, wanted: Tensor) -> float:
    """Norm of a token's difference over that of what is wanted, the median of [H, T, D]'s tokens.

    NaN equals NaN: of weights that are no numbers nothing is told here.
    """
    found, wanted = (x.float().nan_to_num() for x in (found, wanted))
    size = wanted.norm(dim=(0, 2)).clamp(min=torch.finfo(torch.float32).tiny)
    return float(((found - wanted).norm(dim=(0, 2)) / size).median())


def tolerance_of(model: PreTrainedModel) -> float:
    """How far equal computations may lie apart for being rounded in another order."""
    return 1e-4 if model.dtype == torch.float32 else 0.02


def _farthest(model: PreTrainedModel, alone: Probed, positions: int) -> int:
    """The largest number of positions that changes nothing, by bisection."""
    right, wrong = len(PROBE_TOKENS) + 1, positions
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if _same(model, alone, _row(model, middle - 1)):
            right = middle
        else:
            wrong = middle
    _row(model, _NEAR[-1] + 1)  # Factors that were kept of a longer row are put back.
    return right


def _declared(
    model: PreTrainedModel, positions: int, kinds: Sequence[str] | None = None
) -> Iterator[int]:
    """All positions, and the lengths at which the model says that its rotary factors change.

    A change may begin small, and that of low frequencies drowns in half precision. kinds: of
    rotary factors that change for certain; None for any.
    """
    yield positions
    given = getattr(model.config.get_text_config(decoder=True), "rope_parameters", None) or {}
    for each in (given, *given.values()):
        if not isinstance(each, dict) or not each.get("original_max_position_embeddings"):
            continue
        if kinds is None or each.get("rope_type") in kinds:
            yield int(each["original_max_position_embeddings"])


def _refuse_counting_in_the_row(model: PreTrainedModel, alone: Probed, past: int) -> None:
    """Raise StopRun if what is computed follows the number of tokens before it in the row."""
    behind = probe(model, (*PROBE_TOKENS, PROBE_TOKENS[0]), (*_NEAR, _NEAR[-1] + 1), _Past(past))
    calls = [c._replace(**{n: getattr(c, n)[:, :-1] for n in c._fields[1:]}) for c in behind.calls]
    if not _same(model, alone, Probed(calls, behind.logits)):
        raise StopRun(
            f"{type(model).__name__} cannot be used here: it scales its queries or keys by how "
            "many tokens lie before one in the row, not by the token's position (as Llama 4's "
            "attn_temperature_tuning does), so an answer would change with its neighbours"
        )


def _mixing(model: PreTrainedModel) -> str:
    layers = decoder_layers(model)
    kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or []
    number = _first_difference(model, layers)
    if number is None:
        where = "it places tokens by where they lie in the row, or mixes them, before its layers"
    else:
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
    """The first of some modules whose output for a token follows what lies beside it."""
    alone, turned = (_outputs(model, modules, turned) for turned in (False, True))
    both = [number for number in sorted(alone) if number in turned]
    return next((n for n in both if differs(turned[n], alone[n], tolerance_of(model))), None)


def _outputs(
    model: PreTrainedModel, modules: Sequence[nn.Module], turned: bool
) -> dict[int, Tensor]:
    """By module what it gave for the probe's tokens, [T, width]."""
    found: dict[int, Tensor] = {}

    def note(number: int, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.shape[:2] == (1, len(PROBE_TOKENS) + 1):
            found[number] = _ordered(first, turned)[0].nan_to_num()

    with ExitStack() as hooks:
        for number, module in enumerate(modules):
            hook = module.register_forward_hook(lambda _, __, out, n=number: note(n, out))
            hooks.callback(hook.remove)
        _row(model, _NEAR[-1] + 1, turned)
    return found

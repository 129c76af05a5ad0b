"""The mask a model makes for itself, and up to which position it is the causal one.

Sliding windows, chunks and the like are causal for short prompts. Where a model's mask departs
from that is found from the mask function that transformers builds for each of its layers, for
every position the model has, without a row of that length being computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    PreTrainedModel,
)
from transformers.masking_utils import eager_mask

from common.errors import StopRun
from worker.engine.attention import changed_scores
from worker.engine.probe import PROBE_TOKENS, own_values

_NAME = "self_ensemble_mask"

_LOOKED_AT = 1 << 20
"""Positions at which masks are evaluated. A mask that departs later than that is taken as causal:
no prompt here comes near."""

_READ_ELSEWHERE = ("scaling", "sliding_window", "is_causal")

MaskFunction = Callable[[Any, Any, Tensor, Tensor], Tensor]


class _Rule(NamedTuple):
    """Who sees whom by a mask, and the size of its window or chunks, if it has any."""

    sees: MaskFunction
    local_size: int | None


class _Masks:
    """Notes the masks that transformers makes, and which of them reach a layer."""

    def __init__(self) -> None:
        self.made: list[tuple[Tensor, _Rule]] = []
        self.reached: list[tuple[nn.Module, Tensor | None]] = []

    def make(self, mask_function: MaskFunction, **kwargs: Any) -> Tensor:
        mask: Tensor = eager_mask(mask_function=mask_function, **kwargs)
        self.made.append((mask, _Rule(mask_function, kwargs.get("local_size"))))
        return mask

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        kwargs = {k: v for k, v in kwargs.items() if k not in _READ_ELSEWHERE}
        if fault := changed_scores(kwargs):
            raise StopRun(f"{type(module).__name__} {fault}, which is not supported here")
        self.reached.append((module, attention_mask))
        return own_values(query, value).transpose(1, 2).contiguous(), None

    def rules(self) -> list["_Rule"]:
        """Of the masks that reached some layer; of all, where a layer got a changed one."""
        seen = [
            next((rule for made, rule in self.made if made is mask), None)
            for _, mask in self.reached
        ]
        known = [rule for rule in seen if rule is not None]
        return known if len(known) == len(seen) else [rule for _, rule in self.made]


@torch.inference_mode()
def causal_positions(model: PreTrainedModel, positions: int) -> int:
    """How many of the model's positions see all before them; `positions` where all do.

    Raises StopRun where the mask is another than the causal one from the start.
    """
    masks = _Masks()
    AttentionInterface.register(_NAME, masks.attend)
    AttentionMaskInterface.register(_NAME, masks.make)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        _run(model)
    finally:
        model.set_attn_implementation(before)
    for module, mask in masks.reached:
        if not _is_causal(mask):
            raise StopRun(
                f"{type(model).__name__} cannot be used here: {type(module).__name__} makes a "
                "mask of its own instead of the causal one, which is not supported"
            )
    device, looked_at = str(model.device), min(positions, _LOOKED_AT)
    departures = [_departure(rule, looked_at, device) for rule in masks.rules()]
    return min([d for d in departures if d < looked_at], default=positions)


def cached_positions(model: PreTrainedModel, positions: int) -> int:
    """From which position on the cache that `generate` makes for a model drops keys.

    Most families whose cache has a window mask by it, too. Where one does not, its answers
    depend on whether they are generated with the cache, and neither is the right one.
    """
    layers: list[Any] = DynamicCache(config=model.config).layers
    sliding = [each for each in layers if getattr(each, "is_sliding", False)]
    return min([positions, *(int(each.sliding_window) for each in sliding)])


def _run(model: PreTrainedModel) -> None:
    ids = torch.tensor([PROBE_TOKENS], device=model.device)
    places = torch.arange(len(PROBE_TOKENS), device=model.device)[None]
    model.base_model(input_ids=ids, position_ids=places, use_cache=False)


def _is_causal(mask: Any) -> bool:
    """Whether an additive mask [1, 1, T, T] adds nothing to what is seen, and hides the rest."""
    length = len(PROBE_TOKENS)
    if not isinstance(mask, Tensor) or mask.shape != (1, 1, length, length):
        return False
    seen = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    if mask.dtype == torch.bool:
        return bool((mask[0, 0] == seen).all())
    hidden = mask[0, 0] <= torch.finfo(mask.dtype).min / 2
    return bool((hidden == ~seen).all() and (mask[0, 0][seen] == 0).all())


def _departure(rule: _Rule, positions: int, device: str) -> int:
    """The first position from which something before it is not seen, or something after it is.

    What a position does not see first is what lies farthest: the keys looked at are the first
    one, one half as far, and its own.
    """
    place = torch.arange(positions, device=device)
    right = torch.ones(positions, dtype=torch.bool, device=device)
    try:
        for key in (torch.zeros_like(place), place // 2, place):
            right &= rule.sees(0, 0, place, key)
        right[:-1] &= ~rule.sees(0, 0, place[:-1], place[1:])
    except IndexError:
        # A function that looks its tokens' kinds up, text or image, knows those of the row alone.
        return min(positions, rule.local_size or positions)
    wrong = (~right).nonzero()
    return int(wrong[0]) if len(wrong) else positions

"""The mask that a model makes for itself, and the position up to which it is causal.

Masks with sliding windows or chunks are causal for short prompts. The position at which a mask
stops being causal is found by evaluating the mask function that transformers builds for each
layer, at every position of the model; no row of that length is computed.
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
from worker.model.attention_interface import changed_scores
from worker.model.probe import PROBE_TOKENS, own_values

_NAME = "self_ensemble_mask"

_MOST_POSITIONS = 1 << 20
"""Positions at which masks are evaluated. A mask that is causal up to there counts as causal,
because no prompt is as long."""

_CHECKED_ELSEWHERE = ("scaling", "sliding_window", "is_causal")

MaskFunction = Callable[[Any, Any, Tensor, Tensor], Tensor]


class _Rule(NamedTuple):
    """A mask function, and the size of its window or chunks, if it has any."""

    sees: MaskFunction
    local_size: int | None


class _MaskRecorder:
    """Records the masks that transformers makes, and the mask that reaches each layer."""

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
        kwargs = {k: v for k, v in kwargs.items() if k not in _CHECKED_ELSEWHERE}
        if fault := changed_scores(kwargs):
            raise StopRun(f"{type(module).__name__} {fault}, which is not supported here")
        self.reached.append((module, attention_mask))
        return own_values(query, value).transpose(1, 2).contiguous(), None

    def rules(self) -> list["_Rule"]:
        """Rules of the masks that reached a layer; all rules if a layer got a changed mask."""
        reached = [
            next((rule for made, rule in self.made if made is mask), None)
            for _, mask in self.reached
        ]
        known = [rule for rule in reached if rule is not None]
        return known if len(known) == len(reached) else [rule for _, rule in self.made]


@torch.inference_mode()
def causal_positions(model: PreTrainedModel, positions: int) -> int:
    """Return the first position that does not see all earlier ones; `positions` if there is none.

    Raises StopRun if the mask is not causal even for a short prompt.
    """
    recorder = _MaskRecorder()
    AttentionInterface.register(_NAME, recorder.attend)
    AttentionMaskInterface.register(_NAME, recorder.make)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        _run(model)
    finally:
        model.set_attn_implementation(before)
    for module, mask in recorder.reached:
        if not _is_causal(mask):
            raise StopRun(
                f"{type(model).__name__} cannot be used here: {type(module).__name__} makes a "
                "mask of its own instead of the causal one, which is not supported"
            )
    device, checked = str(model.device), min(positions, _MOST_POSITIONS)
    departures = [_departure(rule, checked, device) for rule in recorder.rules()]
    return min([d for d in departures if d < checked], default=positions)


def cached_positions(model: PreTrainedModel, positions: int) -> int:
    """Return the first position at which the cache that `generate` makes drops keys.

    Most families whose cache has a window also mask by that window. If a family does not, its
    answers depend on whether `generate` uses the cache, so there is no right answer to equal.
    """
    layers: list[Any] = DynamicCache(config=model.config).layers
    sliding = [each for each in layers if getattr(each, "is_sliding", False)]
    return min([positions, *(int(each.sliding_window) for each in sliding)])


def _run(model: PreTrainedModel) -> None:
    ids = torch.tensor([PROBE_TOKENS], device=model.device)
    places = torch.arange(len(PROBE_TOKENS), device=model.device)[None]
    model.base_model(input_ids=ids, position_ids=places, use_cache=False)


def _is_causal(mask: Any) -> bool:
    """Whether a mask [1, 1, T, T] hides later tokens and adds nothing to the scores of others."""
    length = len(PROBE_TOKENS)
    if not isinstance(mask, Tensor) or mask.shape != (1, 1, length, length):
        return False
    seen = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    if mask.dtype == torch.bool:
        return bool((mask[0, 0] == seen).all())
    hidden = mask[0, 0] <= torch.finfo(mask.dtype).min / 2
    return bool((hidden == ~seen).all() and (mask[0, 0][seen] == 0).all())


def _departure(rule: _Rule, positions: int, device: str) -> int:
    """Return the first position that does not see all earlier ones, or sees the next one.

    A window or chunk hides the farthest keys first, so three keys are checked: the first one, one
    at half the distance, and the position's own.
    """
    place = torch.arange(positions, device=device)
    right = torch.ones(positions, dtype=torch.bool, device=device)
    try:
        for key in (torch.zeros_like(place), place // 2, place):
            right &= rule.sees(0, 0, place, key)
        right[:-1] &= ~rule.sees(0, 0, place[:-1], place[1:])
    except IndexError:
        # A mask function that depends on token kinds (text, image) knows the probed row only.
        return min(positions, rule.local_size or positions)
    wrong = (~right).nonzero()
    return int(wrong[0]) if len(wrong) else positions

"""The mask that a model makes for itself: its sliding windows, and where it is no longer computed.

Masks with sliding windows or chunks are causal for short prompts. The mask function that
transformers builds for each layer is evaluated at every position of the model; no row of that
length is computed. A mask that equals the causal one within a window is a sliding window, whatever
function made the mask. Any other mask is a limit, from the position on at which it stops being
causal.
"""

from collections.abc import Callable, Sequence
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
from worker.model.config_facts import ConfigFacts
from worker.model.probe import PROBE_TOKENS, own_values

_NAME = "self_ensemble_mask"

_MOST_POSITIONS = 1 << 20
"""Positions at which masks are evaluated. A mask that is causal up to there counts as causal,
because no prompt is as long."""

_CHECKED_ELSEWHERE = ("scaling", "softcap", "sliding_window", "is_causal")

MaskFunction = Callable[[Any, Any, Tensor, Tensor], Tensor]


class MaskLimits(NamedTuple):
    """How far back tokens see.

    windows: of each layer, in tokens including the token itself; None for all earlier tokens.
    causal_positions: the first position at which a layer's mask hides an earlier token that is
    within its window; the number of positions if there is none.
    """

    windows: tuple[int | None, ...]
    causal_positions: int


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

    def layer_rules(self) -> list["_Rule | None"]:
        """Return the rule of the mask that reached each layer; None for a changed mask."""
        return [
            next((rule for made, rule in self.made if made is mask), None)
            for _, mask in self.reached
        ]


def mask_limits(model: PreTrainedModel, facts: ConfigFacts, positions: int) -> MaskLimits:
    """Return the windows of a model's masks and the first position that they do not explain.

    positions: the number that the model has. Raises StopRun if a mask is not causal even for a
    short prompt.
    """
    recorder, checked = _recorded(model), min(positions, _MOST_POSITIONS)
    windows, departures = _windows(recorder, facts, checked, str(model.device))
    for (module, mask), window in zip(recorder.reached, windows, strict=True):
        if not _is_causal(mask, window):
            raise StopRun(
                f"{type(model).__name__} cannot be used here: {type(module).__name__} makes a "
                "mask of its own instead of the causal one, which is not supported"
            )
    causal = min([departure for departure in departures if departure < checked], default=positions)
    return MaskLimits(windows, min(causal, _cached_positions(model, windows, positions)))


def _windows(
    recorder: _MaskRecorder, facts: ConfigFacts, checked: int, device: str
) -> tuple[tuple[int | None, ...], list[int]]:
    """Return the window of each layer, and the positions from which masks are not explained.

    If a layer got a changed mask, no layer has a known window, and every window is a limit.
    """
    rules = recorder.layer_rules()
    limits = {
        rule: _limits(rule, facts.sliding_window, checked, device)
        for rule in {rule for _, rule in recorder.made}
    }
    if None in rules:
        return (None,) * len(rules), [window or limit for window, limit in limits.values()]
    reached = [limits[rule] for rule in rules if rule]
    return tuple(window for window, _ in reached), [limit for _, limit in reached]


@torch.inference_mode()
def _recorded(model: PreTrainedModel) -> _MaskRecorder:
    recorder = _MaskRecorder()
    AttentionInterface.register(_NAME, recorder.attend)
    AttentionMaskInterface.register(_NAME, recorder.make)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        _run(model)
    finally:
        model.set_attn_implementation(before)
    return recorder


def _cached_positions(
    model: PreTrainedModel, windows: Sequence[int | None], positions: int
) -> int:
    """Return the first position at which the cache that `generate` makes drops a seen key.

    Most families whose cache has a window also mask by that window. If a family does not, its
    answers depend on whether `generate` uses the cache, so there is no right answer to equal.
    """
    layers: list[Any] = DynamicCache(config=model.config).layers
    dropping = [
        int(cached.sliding_window)
        for cached, window in zip(layers, windows, strict=False)
        if getattr(cached, "is_sliding", False) and cached.sliding_window != window
    ]
    return min([positions, *dropping])


def _run(model: PreTrainedModel) -> None:
    ids = torch.tensor([PROBE_TOKENS], device=model.device)
    places = torch.arange(len(PROBE_TOKENS), device=model.device)[None]
    model.base_model(input_ids=ids, position_ids=places, use_cache=False)


def _is_causal(mask: Any, window: int | None) -> bool:
    """Whether a mask [1, 1, T, T] hides the keys that are later or outside the window, no others.

    It adds nothing to the scores of other keys.
    """
    length = len(PROBE_TOKENS)
    if not isinstance(mask, Tensor) or mask.shape != (1, 1, length, length):
        return False
    seen = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    seen = seen if window is None else seen.triu(1 - window)
    if mask.dtype == torch.bool:
        return bool((mask[0, 0] == seen).all())
    hidden = mask[0, 0] <= torch.finfo(mask.dtype).min / 2
    return bool((hidden == ~seen).all() and (mask[0, 0][seen] == 0).all())


def _limits(rule: _Rule, named: int | None, positions: int, device: str) -> tuple[int | None, int]:
    """Return the window of a rule, and the first position that the window does not explain.

    named: the window that the config names, for a rule that does not tell its own.
    """
    departure, window = _departure(rule, None, positions, device), rule.local_size or named
    if window is None or min(window, departure) >= positions:
        return None, departure
    explained = _departure(rule, window, positions, device)
    return (window, positions) if explained == positions else (None, departure)


def _departure(rule: _Rule, window: int | None, positions: int, device: str) -> int:
    """Return the first position that does not see precisely the keys of its window.

    window: None for all earlier keys. A window or chunk hides the farthest keys first, so these
    keys are checked: the first one, one at half the distance, the position's own, the next one,
    and those on both edges and in the middle of the window.
    """
    place = torch.arange(positions, device=device)
    right = torch.ones(positions, dtype=torch.bool, device=device)
    back = () if window is None else (window, window - 1, window // 2)
    keys = (torch.zeros_like(place), place // 2, place, place + 1, *(place - b for b in back))
    try:
        for key in (k.clamp(0, positions - 1) for k in keys):
            wanted = key <= place if window is None else (key <= place) & (place - key < window)
            right &= rule.sees(0, 0, place, key) == wanted
    except IndexError:
        # A mask function that depends on token kinds (text, image) knows the probed row only.
        return min(positions, rule.local_size or positions)
    wrong = (~right).nonzero()
    return int(wrong[0]) if len(wrong) else positions

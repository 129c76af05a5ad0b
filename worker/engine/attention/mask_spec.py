"""The mask of one packed row: which segments see each other, and by which bias."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.engine.attention.masks import (
    MaskMod,
    ScoreMod,
    generate_bias_score_mod,
    generate_visibility_mask_mod,
    generate_window_mask_mod,
)
from worker.engine.segments import Segment

_STATIC_SLOTS = 8192
_STATIC_GROUPS = 1024


class MaskSpec(NamedTuple):
    """Visibility and bias between slots.

    score_mod: None if no score is biased. slots: slots of each segment. first_query: slots from
    here on are queries; all slots are keys. window: a key is seen only from fewer than this many
    positions away; None where all slots lie that close.
    """

    mask_mod: MaskMod
    score_mod: ScoreMod | None
    slots: Mapping[Segment, range]
    first_query: int
    window: int | None = None


def segment_mask_spec(
    slots: Mapping[Segment, range], first_query: int, device: str, window: int | None = None
) -> MaskSpec:
    """Return the mask of a row whose queries are the slots from `first_query` on.

    window: positions that a query sees, its own included; None for all. A window that no two
    slots exceed is left out, because a mask without one costs less.

    It has a score_mod only if a segment biases what it sees. The sizes of its tensors are powers
    of two and marked static: with symbolic sizes torch 2.13 emits C++ that does not compile, and
    with exact sizes it compiles every new size.
    """
    num_slots = max(span.stop for span in slots.values())
    capacity = _power_of_two(num_slots, _STATIC_SLOTS)
    groups = _power_of_two(len(slots), _STATIC_GROUPS)
    index = {segment: i for i, segment in enumerate(slots)}
    group, slot = _group_of_slots(slots, capacity), torch.arange(capacity, dtype=torch.int32)
    q_group, q_slot, kv_group, kv_slot, visible = (
        _static(tensor, device)
        for tensor in (
            group.roll(-first_query), slot.roll(-first_query), group, slot,
            _visible(index, groups),
        )
    )  # fmt: skip
    bias = _bias(index, groups)
    score_mod = None
    if bias is not None:
        score_mod = generate_bias_score_mod(q_group, kv_group, _static(bias, device))
    mask_mod = generate_visibility_mask_mod(q_group, q_slot, kv_group, kv_slot, visible)
    position = slot_positions(slots)
    if window is None or int(position.max() - position.min()) < window:
        return MaskSpec(mask_mod, score_mod, slots, first_query)
    padded = pad(position, (0, capacity - num_slots))
    q_position = _static(padded.roll(-first_query), device)
    mask_mod = generate_window_mask_mod(mask_mod, q_position, _static(padded + window, device))
    return MaskSpec(mask_mod, score_mod, slots, first_query, window)


def _static(tensor: Tensor, device: str) -> Tensor:
    """Return a tensor on the device whose sizes torch compiles as constants."""
    tensor = tensor.to(device)
    torch._dynamo.mark_static(tensor)
    return tensor


def _group_of_slots(slots: Mapping[Segment, range], capacity: int) -> Tensor:
    """Number of the segment in each slot, int32 [capacity]; 0 behind the last slot."""
    group = torch.zeros(capacity, dtype=torch.int32)
    for number, span in enumerate(slots.values()):
        group[span.start : span.stop] = number
    return group


def _visible(index: Mapping[Segment, int], groups: int) -> Tensor:
    """Which segment sees which, bool [G, G]; every segment sees itself."""
    visible = torch.zeros(groups, groups, dtype=torch.bool)
    for segment, number in index.items():
        visible[number, [index[seen] for seen in (segment, *segment.sees)]] = True
    return visible


def slot_positions(slots: Mapping[Segment, range]) -> Tensor:
    """Return the position of the token in each slot, int32 [slots]."""
    positions = torch.zeros(max(span.stop for span in slots.values()), dtype=torch.int32)
    for segment, span in slots.items():
        positions[span.start : span.stop] = torch.arange(len(span)) + segment.start
    return positions


def _bias(index: Mapping[Segment, int], groups: int) -> Tensor | None:
    """Bias [G, G] of the scores of one segment with the keys of another; None if all are 0."""
    biased = [segment for segment in index if segment.biases]
    if not biased:
        return None
    bias = torch.zeros(groups, groups)
    for segment in biased:
        bias[index[segment], [index[s] for s in segment.sees]] = torch.tensor(segment.biases)
    return bias


def _power_of_two(needed: int, least: int) -> int:
    return max(least, 1 << (needed - 1).bit_length())

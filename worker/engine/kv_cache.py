"""Keys and values of prefilled segments, and the prefill that makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention import (
    FLEX_MIN_TOKENS,
    AttentionBackend,
    AttentionContext,
    MaskSpec,
    SdpaBackend,
)
from worker.engine.compiled import eager_if_single
from worker.engine.layer_calls import LayerCalls
from worker.engine.masks import generate_bias_score_mod, generate_visibility_mask_mod
from worker.engine.plan import Segment, SequencePlan
from worker.model.geometry import geometry_of

_STATIC_SLOTS = 8192
_STATIC_GROUPS = 1024


@dataclass(frozen=True)
class KVCache:
    """Segments that have been computed.

    keys: [layers, kv_heads, slots, key_dim], rotated to their positions. values: the same,
    value_dim wide.
    slots: where each segment lies. The segments of what it was built on come first.
    """

    keys: Tensor
    values: Tensor
    slots: Mapping[Segment, range]

    @property
    def num_slots(self) -> int:
        return self.keys.shape[2]

    @classmethod
    def empty(cls, model: PreTrainedModel) -> "KVCache":
        """Nothing computed yet; raises StopRun for a model that the engine cannot compute."""
        of = geometry_of(model)
        keys, values = (
            torch.empty(of.layers, of.kv_heads, 0, dim, dtype=model.dtype, device=model.device)
            for dim in (of.key_dim, of.value_dim)
        )
        return cls(keys, values, {})

    def extended(self, segments: Sequence[Segment]) -> "KVCache":
        """Room for more segments behind the ones there are, their keys not yet computed."""
        slots, end = dict(self.slots), self.num_slots
        for segment in segments:
            slots[segment] = range(end, end := end + len(segment.tokens))
        return KVCache(_grown(self.keys, end), _grown(self.values, end), slots)


def _grown(tensor: Tensor, slots: int) -> Tensor:
    layers, heads, filled, dim = tensor.shape
    grown = tensor.new_empty(layers, heads, slots, dim)
    grown[:, :, :filled] = tensor
    return grown


@dataclass(frozen=True)
class _Filling:
    """Attends from the new slots of `room` to all of its slots, and fills the new ones."""

    room: KVCache
    first_new: int
    backend: AttentionBackend
    mask: object

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        keys, values = self.room.keys[layer], self.room.values[layer]
        keys[:, self.first_new :] = key[0]
        values[:, self.first_new :] = value[0]
        return self.backend(query, keys[None], values[None], self.mask, scaling)


@dataclass(frozen=True)
class Placed:
    """A sequence whose segments have been computed, and where their keys lie."""

    sequence: SequencePlan
    done: KVCache


def prefill(
    model: PreTrainedModel,
    backend: AttentionBackend,
    segments: Sequence[Segment],
    cached: KVCache,
    backend_from: int = FLEX_MIN_TOKENS,
) -> KVCache:
    """Compute the segments that `cached` does not hold yet, in one packed row.

    segments: each after those it sees (`plan.distinct_segments`). backend_from: tokens of a row
    below which SDPA takes the place of `backend`. Returns cached and new.
    """
    new = [segment for segment in segments if segment not in cached.slots]
    if not new:
        return cached
    room = cached.extended(new)
    tokens = [token for segment in new for token in segment.tokens]
    positions = [segment.start + i for segment in new for i in range(len(segment.tokens))]
    backend = backend if len(tokens) >= backend_from else SdpaBackend()
    device = str(model.device)
    mods = segment_mods(room.slots, cached.num_slots, device)
    mask = backend.create_mask(mods, len(tokens), room.num_slots, device)
    calls = LayerCalls(_Filling(room, cached.num_slots, backend, mask).attend)
    with eager_if_single(len(tokens)):
        model.base_model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            context=AttentionContext(calls.attend, max(positions)),
        )
    calls.check(model, len(room.keys))
    return room


def segment_mods(slots: Mapping[Segment, range], first_query: int, device: str) -> MaskSpec:
    """mask_mod and score_mod over slots: queries from `first_query` on, keys from 0 on.

    There is a score_mod only where a segment biases what it sees. The tensors have fixed sizes,
    grown in powers of two, and are marked static: as symbols, their sizes make torch 2.13 emit
    C++ that does not compile, and every new size would be compiled anew.
    """
    num_slots = max(span.stop for span in slots.values())
    capacity = _power_of_two(num_slots, _STATIC_SLOTS)
    groups = _power_of_two(len(slots), _STATIC_GROUPS)
    group = torch.zeros(capacity, dtype=torch.int32)
    visible = torch.zeros(groups, groups, dtype=torch.bool)
    index = {segment: i for i, segment in enumerate(slots)}
    for segment, span in slots.items():
        group[span.start : span.stop] = index[segment]
        visible[index[segment], [index[s] for s in (segment, *segment.sees)]] = True
    bias = _bias(index, groups)
    slot = torch.arange(capacity, dtype=torch.int32)
    tensors = [group.roll(-first_query), slot.roll(-first_query), group, slot, visible]
    on_device = [tensor.to(device) for tensor in (*tensors, *([] if bias is None else [bias]))]
    for tensor in on_device:
        torch._dynamo.mark_static(tensor)
    q_group, _, kv_group, *_ = on_device
    score_mod = None
    if bias is not None:
        score_mod = generate_bias_score_mod(q_group, kv_group, on_device.pop())
    mask_mod = generate_visibility_mask_mod(*on_device)
    return MaskSpec(mask_mod, score_mod, slots, first_query)


def _bias(index: Mapping[Segment, int], groups: int) -> Tensor | None:
    """What each segment adds to its scores with those it sees, [G, G]; None if nothing."""
    biased = [segment for segment in index if segment.biases]
    if not biased:
        return None
    bias = torch.zeros(groups, groups)
    for segment in biased:
        bias[index[segment], [index[s] for s in segment.sees]] = torch.tensor(segment.biases)
    return bias


def _power_of_two(needed: int, least: int) -> int:
    return max(least, 1 << (needed - 1).bit_length())

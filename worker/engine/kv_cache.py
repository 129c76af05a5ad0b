"""Keys and values of prefilled segments, and the prefill that computes them."""

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
from worker.engine.geometry import geometry_of
from worker.engine.layer_calls import LayerCalls
from worker.engine.masks import generate_bias_score_mod, generate_visibility_mask_mod
from worker.engine.plan import Segment, SequencePlan

_STATIC_SLOTS = 8192
_STATIC_GROUPS = 1024


@dataclass(frozen=True)
class KVCache:
    """Keys and values of segments.

    keys: [layers, kv_heads, slots, key_dim], rotated to their positions. values: [layers,
    kv_heads, slots, value_dim]. slots: slots of each segment; a cache that extends another one
    begins with the slots of that one.
    """

    keys: Tensor
    values: Tensor
    slots: Mapping[Segment, range]

    @property
    def num_slots(self) -> int:
        return self.keys.shape[2]

    @classmethod
    def empty(cls, model: PreTrainedModel) -> "KVCache":
        """Return a cache without slots. Raises StopRun if the engine cannot compute the model."""
        sizes = geometry_of(model)
        shapes = ((sizes.layers, sizes.kv_heads, 0, d) for d in (sizes.key_dim, sizes.value_dim))
        keys, values = (torch.empty(s, dtype=model.dtype, device=model.device) for s in shapes)
        return cls(keys, values, {})

    def extended(self, segments: Sequence[Segment]) -> "KVCache":
        """Return a copy with slots for more segments at its end; their keys are not computed."""
        slots, end = dict(self.slots), self.num_slots
        for segment in segments:
            slots[segment] = range(end, end := end + len(segment.tokens))
        return KVCache(_grown(self.keys, end), _grown(self.values, end), slots)


def _grown(tensor: Tensor, slots: int) -> Tensor:
    layers, kv_heads, filled, dim = tensor.shape
    grown = tensor.new_empty(layers, kv_heads, slots, dim)
    grown[:, :, :filled] = tensor
    return grown


@dataclass(frozen=True)
class _Filling:
    """Attends from the new slots of `cache` to all of its slots, and fills the new ones."""

    cache: KVCache
    first_new: int
    backend: AttentionBackend
    mask: object

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[:, self.first_new :] = key[0]
        values[:, self.first_new :] = value[0]
        return self.backend(query, keys[None], values[None], self.mask, scaling)


@dataclass(frozen=True)
class Placed:
    """A sequence, and the cache that holds the keys and values of its segments."""

    sequence: SequencePlan
    cache: KVCache


def prefill(
    model: PreTrainedModel,
    backend: AttentionBackend,
    segments: Sequence[Segment],
    cache: KVCache,
    backend_from: int = FLEX_MIN_TOKENS,
) -> KVCache:
    """Compute the segments that `cache` does not hold, in one packed row.

    segments: each after those it sees (`plan.distinct_segments`). backend_from: a row of fewer
    tokens uses SDPA instead of `backend`. Returns `cache` extended by the new segments.
    """
    new = [segment for segment in segments if segment not in cache.slots]
    if not new:
        return cache
    extended = cache.extended(new)
    tokens = [token for segment in new for token in segment.tokens]
    positions = [segment.start + i for segment in new for i in range(len(segment.tokens))]
    backend = backend if len(tokens) >= backend_from else SdpaBackend()
    device = str(model.device)
    spec = segment_mask_spec(extended.slots, cache.num_slots, device)
    mask = backend.create_mask(spec, len(tokens), extended.num_slots, device)
    calls = LayerCalls(_Filling(extended, cache.num_slots, backend, mask).attend)
    with eager_if_single(len(tokens)):
        model.base_model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            context=AttentionContext(calls.attend, max(positions)),
        )
    calls.check(model, len(extended.keys))
    return extended


def segment_mask_spec(slots: Mapping[Segment, range], first_query: int, device: str) -> MaskSpec:
    """Return the mask of a row whose queries are the slots from `first_query` on.

    It has a score_mod only if a segment biases what it sees. The sizes of its tensors are powers
    of two and marked static: with symbolic sizes torch 2.13 emits C++ that does not compile, and
    with exact sizes it compiles every new size.
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

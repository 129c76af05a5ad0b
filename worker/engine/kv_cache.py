"""Keys and values of prefilled segments, and the prefill that computes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention.backend import FLEX_MIN_TOKENS, AttentionBackend
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.compiled import eager_if_single
from worker.engine.segments import Segment, SequencePlan
from worker.model.attention_interface import AttentionContext
from worker.model.geometry import geometry_of
from worker.model.layer_calls import LayerCalls


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

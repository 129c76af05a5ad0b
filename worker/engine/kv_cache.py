"""The KV cache: keys and values of prefilled segments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.engine.segments import Segment
from worker.model.geometry import ModelGeometry


@dataclass(frozen=True)
class KVCache:
    """Keys and values of segments.

    keys: [layers, kv_heads, slots, key_dim], rotated to their positions. values: [layers,
    kv_heads, slots, value_dim]. slots: the slots of each segment. pieces: of each segment that was
    computed in pieces; the pieces have the slots.
    """

    keys: Tensor
    values: Tensor
    slots: Mapping[Segment, range]
    pieces: Mapping[Segment, tuple[Segment, ...]] = field(default_factory=dict)

    @property
    def num_slots(self) -> int:
        return self.keys.shape[2]

    @classmethod
    def allocate(
        cls,
        geometry: ModelGeometry,
        slots: Mapping[Segment, range],
        dtype: torch.dtype,
        device: torch.device,
    ) -> "KVCache":
        """Make a cache whose keys and values are not computed yet."""
        shape = geometry.layers, geometry.kv_heads, sum(map(len, slots.values()))
        keys, values = (
            torch.empty(*shape, dim, dtype=dtype, device=device)
            for dim in (geometry.key_dim, geometry.value_dim)
        )
        return cls(keys, values, slots)

    def slots_of(self, segment: Segment) -> list[int]:
        """Return the slot of each token of a segment."""
        pieces = self.pieces.get(segment, (segment,))
        return [slot for piece in pieces for slot in self.slots[piece]]

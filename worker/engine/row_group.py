"""Row groups: sequences of similar shape, decoded side by side.

A sequence attends to three things: the cached prefix, which all sequences read from one copy
(one matmul over all queries); its own prompt segments; and what it has generated. The last two
lie in the row group's own cache, padded to the longest sequence. Copies of the prefix at other
positions are read by rotating the query back, equal copies by adding log(copies) to the scores.

Sequences that have fed the same tokens so far are one row. Where they part, the row is forked.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.cascade import Attend, Own, shared_keys
from worker.engine.kv_cache import KVCache, Placed
from worker.engine.plan import SequencePlan
from worker.engine.rotary import rotation
from worker.engine.rotate import rotate

_MAX_PADDING = 2


class RowGroup:
    """The cache of B sequences; slot `filled` of each is written next.

    values: [layers, B, H_kv, slots, D_v]. keys: the same, D wide, but slots lie next to each
    other in memory, which their scores are computed for side by side.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        placed: Sequence[Placed],
        cached: KVCache,
        max_new_tokens: int,
        attend: Attend,
    ) -> None:
        sequences = [each.sequence for each in placed]
        shifts = [prefix_shifts(sequence, cached) for sequence in sequences]
        bias = _prefix_bias(sequences, shifts, cached)
        self._attend = attend
        self._cached = cached
        self._prefix_bias = bias.to(model.device)
        self._rotation = rotation(model, -torch.tensor(shifts)) if any(map(any, shifts)) else None
        self._fill_own_cache(model, placed, max_new_tokens)

    def _fill_own_cache(
        self, model: PreTrainedModel, placed: Sequence[Placed], max_new_tokens: int
    ) -> None:
        own = [own_slots(each, self._cached) for each in placed]
        self.filled = max(map(len, own))
        slots, shifts, bias = (part.to(model.device) for part in _table(own, self.filled))
        moved = rotation(model, shifts) if bool(shifts.any()) else None
        keys = self._cached.keys
        layers, heads, _, dim = keys.shape
        # One more than is filled: compiled code tells a whole cache from a part of one.
        capacity = self.filled + max_new_tokens + 1
        self.keys = keys.new_empty(layers, len(own), heads, dim, capacity).transpose(-1, -2)
        value_dim = self._cached.values.shape[-1]
        self.values = keys.new_empty(layers, len(own), heads, capacity, value_dim)
        for done, rows in _by_pack(placed):
            for layer in range(layers):
                keys = _read(done.keys[layer], slots[rows])
                keys = rotate(keys, *(t[rows, None] for t in moved)) if moved else keys
                self.keys[layer, rows, :, : self.filled] = keys
                self.values[layer, rows, :, : self.filled] = _read(done.values[layer], slots[rows])
        self._own_bias = torch.zeros(len(own), capacity, device=model.device)
        self._own_bias[:, : self.filled] = bias

    def __len__(self) -> int:
        return self.keys.shape[1]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        """Of the newest token, query [B, H, D], key [B, H_kv, D], value [B, H_kv, D_v] ->
        [B, H, D_v].
        """
        end = self.filled + 1
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.filled] = key
        values[:, :, self.filled] = value
        own = Own(keys[:, :, :end], values[:, :, :end], self._own_bias[:, None, :end])
        grouped = (query * scaling).unflatten(1, (key.shape[1], -1))[..., None, :]
        keys, values = self._cached.keys[layer], self._cached.values[layer]
        shared = shared_keys(keys, values, self._prefix_bias, self._rotation)
        return self._attend(grouped, shared, own).flatten(1, 3)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order; a row named twice is forked."""
        self.keys, self.values = _kept(self.keys, rows), _kept(self.values, rows)
        self._own_bias, self._prefix_bias = self._own_bias[rows], self._prefix_bias[rows]
        if self._rotation:
            self._rotation = (self._rotation[0][rows], self._rotation[1][rows])


def _kept(cache: Tensor, rows: Tensor) -> Tensor:
    """cache[:, rows], layer by layer: whole rows are copied, which advanced indexing does not."""
    turned = cache.stride(-1) != 1
    cache = cache.transpose(-1, -2) if turned else cache
    kept = cache.new_empty(cache.shape[0], len(rows), *cache.shape[2:])
    for old, new in zip(cache, kept, strict=True):
        torch.index_select(old, 0, rows, out=new)
    return kept.transpose(-1, -2) if turned else kept


def _table(
    own: Sequence[Sequence[tuple[int, int, float]]], length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Slots, shifts and biases of every row's own keys, [B, L]; padding is not seen."""
    padded = [[*keys, *[(0, 0, -torch.inf)] * (length - len(keys))] for keys in own]
    slots, shifts = (
        torch.tensor([[key[part] for key in keys] for keys in padded]).view(len(own), length)
        for part in (0, 1)
    )
    bias = torch.tensor([[key[2] for key in keys] for keys in padded]).view(len(own), length)
    return slots.long(), shifts.long(), bias


def _by_pack(placed: Sequence[Placed]) -> Iterator[tuple[KVCache, slice]]:
    """The packs that some sequences lie in, each with the rows of those that lie there."""
    first = 0
    for _, same in groupby(placed, key=lambda each: id(each.done)):
        members = list(same)
        yield members[0].done, slice(first, first := first + len(members))


def _read(cache: Tensor, slots: Tensor) -> Tensor:
    """Slots [B, L] of one layer's cache [H_kv, slots, D] -> [B, H_kv, L, D]."""
    read: Tensor = cache.index_select(1, slots.flatten()).unflatten(1, slots.shape)
    return read.transpose(0, 1)


def prefix_shifts(sequence: SequencePlan, cached: KVCache) -> list[int]:
    """The distinct shifts at which a sequence reads the cached prefix; [0] for none."""
    shifts = {view.offset for view in sequence.views if view.segment in cached.slots}
    return sorted(shifts) or [0]


def own_slots(placed: Placed, cached: KVCache) -> list[tuple[int, int, float]]:
    """(slot, shift, bias) of every key of a sequence that is not cached."""
    slots = placed.done.slots
    own = [view for view in placed.sequence.views if view.segment not in cached.slots]
    return [(slot, view.offset, view.bias) for view in own for slot in slots[view.segment]]


def _prefix_bias(
    sequences: Sequence[SequencePlan], shifts: Sequence[Sequence[int]], cached: KVCache
) -> Tensor:
    """log of the copies of every cached slot at every shift, -inf for unseen.

    Of shape [B, views, slots]. A copy whose keys are biased by b counts e**b times.
    """
    copies = torch.zeros(len(sequences), len(shifts[0]), cached.num_slots)
    for row, sequence in enumerate(sequences):
        for view in sequence.views:
            if span := cached.slots.get(view.segment):
                copies[row, shifts[row].index(view.offset), span.start : span.stop] += math.exp(
                    view.bias
                )
    return copies.log()


def similar_sequences(placed: Sequence[Placed], cached: KVCache) -> Iterator[list[int]]:
    """Indices of sequences that may share a row group: as many views, own keys within a factor.

    Those of one pack stay neighbours.
    """
    shapes = [
        (len(prefix_shifts(each.sequence, cached)), len(own_slots(each, cached)))
        for each in placed
    ]
    order = sorted(range(len(placed)), key=shapes.__getitem__)
    for _, same_views in groupby(order, key=lambda index: shapes[index][0]):
        row_group: list[int] = []
        for index in same_views:
            if row_group and shapes[index][1] > _MAX_PADDING * max(8, shapes[row_group[0]][1]):
                yield sorted(row_group)
                row_group = []
            row_group.append(index)
        yield sorted(row_group)

"""Row groups: sequences of similar shape, decoded in one set of buffers.

A sequence attends to three sets of keys: the cached prefix, which all sequences read from one
copy (one matmul over all queries), its own prompt segments, and the tokens it has generated. The
last two are in the row group's own cache, padded to the longest sequence. A copy of the prefix at
another position is read by rotating the query back; n equal copies add log(n) to the scores.

Sequences that have fed the same tokens so far share a row. When their tokens differ, the row is
forked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention.cascade import AttendCascade, pad_prefix
from worker.engine.kv_cache import KVCache
from worker.engine.rope import rotate
from worker.engine.rotary import rotation
from worker.engine.segments import SequencePlan

_MAX_PADDING = 2


class RowGroup:
    """Keys and values of B sequences; the next token is written to slot `filled`.

    values: [layers, B, H_kv, slots, D_v]. keys: [layers, B, H_kv, slots, D], stored with the
    slots innermost, in the order in which scores are computed.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        sequences: Sequence[SequencePlan],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        max_new_tokens: int,
        attend: AttendCascade,
    ) -> None:
        offsets = [prefix_offsets(sequence, prefix) for sequence in sequences]
        bias = _prefix_bias(sequences, offsets, prefix)
        moved = any(map(any, offsets))
        self._attend = attend
        self._prefix = prefix
        self._prefix_bias = bias[:, None].to(model.device)
        self._rotation = rotation(model, -torch.tensor(offsets)) if moved else None
        self._fill_own_cache(model, sequences, caches, max_new_tokens)

    def _fill_own_cache(
        self,
        model: PreTrainedModel,
        sequences: Sequence[SequencePlan],
        caches: Mapping[SequencePlan, KVCache],
        max_new_tokens: int,
    ) -> None:
        own = [_own_slots(each, caches[each], self._prefix) for each in sequences]
        self.filled = max(map(len, own))
        slots, offsets, bias = (part.to(model.device) for part in _table(own, self.filled))
        moves = rotation(model, offsets) if bool(offsets.any()) else None
        keys = self._prefix.keys
        layers, kv_heads, _, dim = keys.shape
        # One slot is never filled: torch compiles separately for a full cache and a slice of one.
        capacity = self.filled + max_new_tokens + 1
        self.keys = keys.new_empty(layers, len(own), kv_heads, dim, capacity).transpose(-1, -2)
        value_dim = self._prefix.values.shape[-1]
        self.values = keys.new_empty(layers, len(own), kv_heads, capacity, value_dim)
        for pack, rows in _by_pack([caches[each] for each in sequences]):
            for layer in range(layers):
                keys = _read(pack.keys[layer], slots[rows])
                keys = rotate(keys, *(t[rows, None] for t in moves)) if moves else keys
                self.keys[layer, rows, :, : self.filled] = keys
                self.values[layer, rows, :, : self.filled] = _read(pack.values[layer], slots[rows])
        self._own_bias = torch.zeros(len(own), capacity, device=model.device)
        self._own_bias[:, : self.filled] = bias

    def __len__(self) -> int:
        return self.keys.shape[1]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        """Attend from the newest token of each row, and store its key and value.

        query [B, H, D], key [B, H_kv, D], value [B, H_kv, D_v] -> [B, H, D_v].
        """
        end = self.filled + 1
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.filled] = key
        values[:, :, self.filled] = value
        suffix = keys[:, :, :end], values[:, :, :end], self._own_bias[:, None, :end]
        grouped = (query * scaling).unflatten(1, (key.shape[1], -1))[..., None, :]
        keys, values = self._prefix.keys[layer], self._prefix.values[layer]
        prefix = pad_prefix(keys, values, self._prefix_bias)
        return self._attend(grouped, *prefix, *suffix, rotation=self._rotation).flatten(1, 3)

    def keep(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row named twice is forked."""
        self.keys, self.values = _select_rows(self.keys, rows), _select_rows(self.values, rows)
        self._own_bias, self._prefix_bias = self._own_bias[rows], self._prefix_bias[rows]
        if self._rotation:
            self._rotation = (self._rotation[0][rows], self._rotation[1][rows])


def _select_rows(cache: Tensor, rows: Tensor) -> Tensor:
    """Return cache[:, rows], copied layer by layer in whole rows, unlike advanced indexing."""
    transposed = cache.stride(-1) != 1
    cache = cache.transpose(-1, -2) if transposed else cache
    selected = cache.new_empty(cache.shape[0], len(rows), *cache.shape[2:])
    for old, new in zip(cache, selected, strict=True):
        torch.index_select(old, 0, rows, out=new)
    return selected.transpose(-1, -2) if transposed else selected


def _table(
    own: Sequence[Sequence[tuple[int, int, float]]], length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Slots, offsets and biases of every row's own keys, [B, L] each; padding has bias -inf."""
    padded = [[*keys, *[(0, 0, -torch.inf)] * (length - len(keys))] for keys in own]
    slots, offsets = (
        torch.tensor([[key[part] for key in keys] for keys in padded]).view(len(own), length)
        for part in (0, 1)
    )
    bias = torch.tensor([[key[2] for key in keys] for keys in padded]).view(len(own), length)
    return slots.long(), offsets.long(), bias


def _by_pack(caches: Sequence[KVCache]) -> Iterator[tuple[KVCache, slice]]:
    """Yield the cache of each pack with its rows; caches: of the rows, in order."""
    first = 0
    for _, group in groupby(caches, key=id):
        members = list(group)
        yield members[0], slice(first, first := first + len(members))


def _read(cache: Tensor, slots: Tensor) -> Tensor:
    """Gather slots [B, L] of one layer's cache [H_kv, slots, D] -> [B, H_kv, L, D]."""
    rows: Tensor = cache.index_select(1, slots.flatten()).unflatten(1, slots.shape)
    return rows.transpose(0, 1)


def prefix_offsets(sequence: SequencePlan, prefix: KVCache) -> list[int]:
    """Return the distinct offsets at which a sequence reads the prefix; [0] if it does not."""
    offsets = {ref.offset for ref in sequence.refs if ref.segment in prefix.slots}
    return sorted(offsets) or [0]


def _own_slots(
    sequence: SequencePlan, cache: KVCache, prefix: KVCache
) -> list[tuple[int, int, float]]:
    """Return (slot, offset, bias) of every prompt key of a sequence outside the prefix."""
    own = [ref for ref in sequence.refs if ref.segment not in prefix.slots]
    return [(slot, ref.offset, ref.bias) for ref in own for slot in cache.slots_of(ref.segment)]


def _prefix_bias(
    sequences: Sequence[SequencePlan], offsets: Sequence[Sequence[int]], prefix: KVCache
) -> Tensor:
    """log of the number of copies of every prefix slot at every offset, [B, offsets, slots].

    -inf for an unseen slot. A copy whose keys have bias b counts e**b times.
    """
    copies = torch.zeros(len(sequences), len(offsets[0]), prefix.num_slots)
    for row, sequence in enumerate(sequences):
        for ref in sequence.refs:
            if span := prefix.slots.get(ref.segment):
                offset = offsets[row].index(ref.offset)
                copies[row, offset, span.start : span.stop] += math.exp(ref.bias)
    return copies.log()


def similar_sequences(
    sequences: Sequence[SequencePlan], prefix: KVCache
) -> Iterator[list[SequencePlan]]:
    """Yield sequences that may share a row group, in order.

    Members of a row group read the prefix at equally many offsets, and their numbers of own keys
    differ by a small factor. Sequences of one pack stay neighbours.
    """
    shapes = [(len(prefix_offsets(each, prefix)), _num_own(each, prefix)) for each in sequences]
    order = sorted(range(len(sequences)), key=shapes.__getitem__)
    for _, indices in groupby(order, key=lambda index: shapes[index][0]):
        row_group: list[int] = []
        for index in indices:
            if row_group and shapes[index][1] > _MAX_PADDING * max(8, shapes[row_group[0]][1]):
                yield [sequences[member] for member in sorted(row_group)]
                row_group = []
            row_group.append(index)
        yield [sequences[member] for member in sorted(row_group)]


def _num_own(sequence: SequencePlan, prefix: KVCache) -> int:
    """Return the number of prompt keys of a sequence outside the prefix."""
    own = (ref.segment for ref in sequence.refs if ref.segment not in prefix.slots)
    return sum(len(segment.tokens) for segment in own)

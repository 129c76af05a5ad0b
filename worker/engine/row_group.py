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
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from worker.engine.attention.cascade import AttendCascade, pad_prefix
from worker.engine.key_bias import KeyBias
from worker.engine.kv_cache import KVCache
from worker.engine.segments import SequencePlan
from worker.model.attention_interface import LayerCall
from worker.model.geometry import ModelGeometry
from worker.model.rope import rotate, rotation

_MAX_PADDING = 2


class RowGroup:
    """Keys and values of B sequences; the next token is written to slot `filled`.

    values: [layers, B, H_kv, slots, D_v]. keys: [layers, B, H_kv, slots, D], stored with the
    slots innermost, in the order in which scores are computed. caches: of each sequence, the one
    that holds its segments outside the prefix.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        geometry: ModelGeometry,
        sequences: Sequence[SequencePlan],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        max_new_tokens: int,
        attend: AttendCascade,
    ) -> None:
        offsets = torch.tensor([prefix_offsets(sequence, prefix) for sequence in sequences])
        self._geometry = geometry
        self._attend = attend
        self._prefix = prefix
        self._rotation = rotation(model, -offsets) if bool(offsets.any()) else None
        own = _own_keys(sequences, caches, prefix)
        # One slot is never filled: torch compiles separately for a full cache and a slice of one.
        capacity = own.slots.shape[1] + max_new_tokens + 1
        self.filled = own.slots.shape[1]
        self._fill_suffix(model, own, [caches[each] for each in sequences], capacity)
        self._bias = _key_bias(sequences, offsets, prefix, own, capacity, model.device)

    def _fill_suffix(
        self,
        model: PreTrainedModel,
        own: "_OwnKeys",
        caches: Sequence[KVCache],
        capacity: int,
    ) -> None:
        """Copy the prompt keys and values of every row; keys are rotated where they are moved."""
        slots, offsets = own.slots.to(model.device), own.offsets.to(model.device)
        # Padding is zeroed: the slot that it reads may hold NaN of another sample, and NaN - inf
        # is NaN.
        padding = own.bias.isneginf()[:, None, :, None].to(model.device)
        moves = rotation(model, offsets) if bool(own.offsets.any()) else None
        keys, rows = self._prefix.keys, len(caches)
        layers, kv_heads, _, dim = keys.shape
        self.keys = keys.new_zeros(layers, rows, kv_heads, dim, capacity).transpose(-1, -2)
        value_dim = self._prefix.values.shape[-1]
        self.values = keys.new_zeros(layers, rows, kv_heads, capacity, value_dim)
        for pack, members in _by_pack(caches):
            for layer in range(layers if pack.num_slots else 0):
                keys, values = (
                    _read(cache[layer], slots[members]).masked_fill_(padding[members], 0)
                    for cache in (pack.keys, pack.values)
                )
                keys = rotate(keys, *(t[members, None] for t in moves)) if moves else keys
                self.keys[layer, members, :, : self.filled] = keys
                self.values[layer, members, :, : self.filled] = values

    def __len__(self) -> int:
        return self.keys.shape[1]

    def attend(self, call: LayerCall, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the newest token of each row, and store its key and value.

        query [B, H, D], key [B, H_kv, D], value [B, H_kv, D_v] -> [B, H, D_v].
        """
        end = self.filled + 1
        keys, values = self.keys[call.layer], self.values[call.layer]
        keys[:, :, self.filled] = key
        values[:, :, self.filled] = value
        prefix_bias, suffix_bias = self._bias.of(self._geometry.windows[call.layer], end)
        prefix = self._prefix.keys[call.layer], self._prefix.values[call.layer], prefix_bias
        suffix = keys[:, :, :end], values[:, :, :end], suffix_bias
        grouped = (query * call.scaling).unflatten(1, (key.shape[1], -1))[..., None, :]
        output = self._attend(
            grouped, *pad_prefix(*prefix), *suffix,
            rotation=self._rotation, softcap=self._geometry.softcap,
        )  # fmt: skip
        return output.flatten(1, 3)

    def move_on(self, steps: int) -> None:
        """Count so many tokens fed per row: the next tokens are written behind these."""
        self.filled += steps
        self._bias.move_on(steps)

    def keep(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row named twice is forked."""
        self.keys, self.values = _select_rows(self.keys, rows), _select_rows(self.values, rows)
        self._bias.keep(rows)
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


class _OwnKeys(NamedTuple):
    """The prompt keys of B sequences outside the prefix, padded to the longest, [B, L] each.

    slots: in the cache of the sequence, int64. offsets: by which they are moved, int64. bias:
    float32; -inf for padding. positions: at which they are read, int64.
    """

    slots: Tensor
    offsets: Tensor
    bias: Tensor
    positions: Tensor


def _own_keys(
    sequences: Sequence[SequencePlan], caches: Mapping[SequencePlan, KVCache], prefix: KVCache
) -> _OwnKeys:
    own = [list(_keys_of(sequence, caches[sequence], prefix)) for sequence in sequences]
    length = max(map(len, own))
    padded = [[*keys, *[(0, 0, -torch.inf, 0)] * (length - len(keys))] for keys in own]
    slots, offsets, bias, positions = (
        torch.tensor([[key[part] for key in keys] for keys in padded]).view(len(own), length)
        for part in range(4)
    )
    return _OwnKeys(slots.long(), offsets.long(), bias.float(), positions.long())


def _keys_of(
    sequence: SequencePlan, cache: KVCache, prefix: KVCache
) -> Iterator[tuple[int, int, float, int]]:
    """Yield slot, offset, bias and position of every prompt key of a sequence."""
    for ref in sequence.refs:
        if ref.segment not in prefix.slots:
            first = ref.segment.start + ref.offset
            for place, slot in enumerate(cache.slots_of(ref.segment)):
                yield slot, ref.offset, ref.bias, first + place


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


def _key_bias(
    sequences: Sequence[SequencePlan],
    offsets: Tensor,
    prefix: KVCache,
    own: _OwnKeys,
    capacity: int,
    device: torch.device,
) -> KeyBias:
    """The biases of rows; offsets: at which they read the prefix, [B, O]."""
    positions = torch.tensor([sequence.position for sequence in sequences])
    generated = torch.arange(capacity - own.bias.shape[1])
    return KeyBias(
        prefix=_prefix_bias(sequences, offsets.tolist(), prefix)[:, None].to(device),
        suffix=pad(own.bias, (0, len(generated)))[:, None].to(device),
        offsets=offsets.to(device),
        prefix_positions=_positions_of(prefix).to(device),
        suffix_positions=torch.cat((own.positions, positions[:, None] + generated), 1).to(device),
        positions=positions.to(device),
        last_position=int(positions.max()),
    )


def _positions_of(prefix: KVCache) -> Tensor:
    """Position of every slot of the prefix, int64 [P]."""
    starts = (segment.start + torch.arange(len(span)) for segment, span in prefix.slots.items())
    return torch.cat([torch.empty(0, dtype=torch.long), *starts])


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

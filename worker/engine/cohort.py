"""Cohorts: streams of similar shape, decoded side by side.

A stream attends to three things: the resident prefix, which all streams read from one copy
(one matmul over all queries); its own prompt segments; and what it has generated. The last two
lie in the cohort's own cache, padded to the longest stream. Copies of the prefix at other
positions are read by rotating the query back, equal copies by adding log(copies) to the scores.

Streams that have fed the same tokens so far are one row. Where they part, the row is forked.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.cascade import Attend, Own, shared_keys
from worker.engine.kv_cache import Prefilled
from worker.engine.plan import Stream
from worker.engine.rotary import rotation
from worker.engine.rotate import rotate

_MAX_PADDING = 2


class Cohort:
    """The cache of B streams; slot `filled` of each is written next.

    keys, values: [layers, B, H_kv, slots, D].
    """

    def __init__(
        self,
        model: PreTrainedModel,
        streams: Sequence[Stream],
        done: Prefilled,
        resident: Prefilled,
        max_new_tokens: int,
        attend: Attend,
    ) -> None:
        device = model.device
        shifts = [resident_shifts(stream, resident) for stream in streams]
        bias = _prefix_bias(streams, shifts, resident)
        turn = rotation(model, -torch.tensor(shifts)) if any(map(any, shifts)) else None
        self._attend = attend
        self._resident = resident
        self._prefix_bias = bias.to(device)
        self._turn = turn
        self._fill_own_cache(model, streams, done, resident, max_new_tokens)

    def _fill_own_cache(
        self,
        model: PreTrainedModel,
        streams: Sequence[Stream],
        done: Prefilled,
        resident: Prefilled,
        max_new_tokens: int,
    ) -> None:
        own = [own_slots(stream, done, resident) for stream in streams]
        self.filled = max(map(len, own))
        padded = [keys + [(0, 0, -torch.inf)] * (self.filled - len(keys)) for keys in own]
        shape = len(own), self.filled
        slots, shifts = (
            torch.tensor([[key[part] for key in keys] for keys in padded]).view(shape).long()
            for part in (0, 1)
        )
        bias = torch.tensor([[key[2] for key in keys] for keys in padded]).view(shape)
        layers, heads, _, dim = done.keys.shape
        # One more than is filled: compiled code tells a whole cache from a part of one.
        capacity = self.filled + max_new_tokens + 1
        self.keys = done.keys.new_empty(layers, len(own), heads, capacity, dim)
        self.values = torch.empty_like(self.keys)
        slots = slots.to(model.device)
        turn = rotation(model, shifts) if bool(shifts.any()) else None
        for layer in range(layers):
            keys = done.keys[layer][:, slots]
            keys = rotate(keys, *turn) if turn else keys
            self.keys[layer, :, :, : self.filled] = keys.transpose(0, 1)
            self.values[layer, :, :, : self.filled] = done.values[layer][:, slots].transpose(0, 1)
        self._own_bias = torch.zeros(len(own), capacity, device=model.device)
        self._own_bias[:, : self.filled] = bias.to(model.device)

    def __len__(self) -> int:
        return self.keys.shape[1]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        """query [B, H, D], key and value [B, H_kv, D] of the newest token -> [B, H, D]."""
        end = self.filled + 1
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.filled] = key
        values[:, :, self.filled] = value
        own = Own(keys[:, :, :end], values[:, :, :end], self._own_bias[:, None, :end])
        grouped = (query * scaling).unflatten(1, (key.shape[1], -1))[..., None, :]
        keys, values = self._resident.keys[layer], self._resident.values[layer]
        shared = shared_keys(keys, values, self._prefix_bias, self._turn)
        return self._attend(grouped, shared, own).flatten(1, 3)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order; a row named twice is forked."""
        self.keys, self.values = _kept(self.keys, rows), _kept(self.values, rows)
        self._own_bias, self._prefix_bias = self._own_bias[rows], self._prefix_bias[rows]
        if self._turn:
            self._turn = (self._turn[0][rows], self._turn[1][rows])


def _kept(cache: Tensor, rows: Tensor) -> Tensor:
    """cache[:, rows], layer by layer: whole rows are copied, which advanced indexing does not."""
    kept = cache.new_empty(cache.shape[0], len(rows), *cache.shape[2:])
    for old, new in zip(cache, kept, strict=True):
        torch.index_select(old, 0, rows, out=new)
    return kept


def resident_shifts(stream: Stream, resident: Prefilled) -> list[int]:
    """The distinct shifts at which a stream reads the resident prefix; [0] for none."""
    shifts = {view.shift for view in stream.views if view.segment in resident.slots}
    return sorted(shifts) or [0]


def own_slots(
    stream: Stream, done: Prefilled, resident: Prefilled
) -> list[tuple[int, int, float]]:
    """(slot, shift, bias) of every key of the stream that is not resident."""
    own = [view for view in stream.views if view.segment not in resident.slots]
    return [(slot, view.shift, view.bias) for view in own for slot in done.slots[view.segment]]


def _prefix_bias(
    streams: Sequence[Stream], shifts: Sequence[Sequence[int]], resident: Prefilled
) -> Tensor:
    """log of the copies of every resident slot at every shift, -inf for unseen.

    Of shape [B, views, slots]. A copy whose keys are biased by b counts e**b times.
    """
    copies = torch.zeros(len(streams), len(shifts[0]), resident.num_slots)
    for row, stream in enumerate(streams):
        for view in stream.views:
            if span := resident.slots.get(view.segment):
                copies[row, shifts[row].index(view.shift), span.start : span.stop] += math.exp(
                    view.bias
                )
    return copies.log()


def similar_streams(
    streams: Sequence[Stream], done: Prefilled, resident: Prefilled
) -> Iterator[list[int]]:
    """Indices of streams that may share a cohort: as many views, own keys within a factor."""

    def shape(index: int) -> tuple[int, int]:
        stream = streams[index]
        return len(resident_shifts(stream, resident)), len(own_slots(stream, done, resident))

    shapes = [shape(index) for index in range(len(streams))]
    order = sorted(range(len(streams)), key=shapes.__getitem__)
    for _, same_views in groupby(order, key=lambda index: shapes[index][0]):
        cohort: list[int] = []
        for index in same_views:
            if cohort and shapes[index][1] > _MAX_PADDING * max(8, shapes[cohort[0]][1]):
                yield cohort
                cohort = []
            cohort.append(index)
        yield cohort

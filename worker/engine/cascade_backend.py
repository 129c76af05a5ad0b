"""The cascade backend of prefill: segments of similar size side by side, a row of queries each.

Every new segment attends to the cached slots, which all share, and to slots of its own: those
of the new segments it sees, and its own causally. Rows of one table are padded to the longest,
which costs a little of the attention and nothing of the matrix products around it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from worker.engine.attention import MaskSpec
from worker.engine.cascade import Own, Shared, cascade, shared_keys
from worker.engine.compiled import eager_if_single
from worker.engine.packing import split_by_budget

_PIECE_TOKENS = 256
"""Longer segments are cut, so that scores never take queries x keys of a long prompt at once."""

_LENGTH_STEP = 8
"""Blocks whose numbers of queries and own keys are equal up to this are put side by side."""

_SCORES_AT_ONCE = 1 << 22
"""Scores of one head held at once."""


@dataclass(frozen=True)
class QueryBlock:
    """Some tokens of a new segment, one after the other, and the keys they may see.

    slots: of the tokens. own: new slots: what the segment sees, and its tokens up to these.
    own_bias: of what it sees. shared: cached slots it sees, each with its bias.
    """

    slots: range
    own: tuple[int, ...]
    own_bias: tuple[float, ...]
    shared: tuple[tuple[range, float], ...]

    @property
    def size_class(self) -> tuple[int, int]:
        return -(-len(self.slots) // _LENGTH_STEP), -(-len(self.own) // _LENGTH_STEP)


class QueryBlocks(NamedTuple):
    """B pieces of at most T queries and L own keys.

    queries: their places among the new slots, [B, T]. targets: the same, but one past the last
    where a row is padded. keys: slots, [B, L]. own_bias: float32 [B, T, L]. shared_bias:
    float32 [B, 1, P], for the cached slots.
    """

    queries: Tensor
    targets: Tensor
    keys: Tensor
    own_bias: Tensor
    shared_bias: Tensor


def attend_rows(
    output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shared: Shared,
    rows: QueryBlocks,
    scaling: float,
) -> None:
    """Attend from some pieces' queries and write [T, H, D_v] of `output`.

    query [H, T, D], key [H_kv, S, D] and value [H_kv, S, D_v], of all slots. Gathering here lets
    a compiler read rows where they lie.
    """
    grouped = (query * scaling).unflatten(0, (key.shape[0], -1))
    asked = grouped[:, :, rows.queries].permute(2, 0, 1, 3, 4)
    keys, values = (x[:, rows.keys].transpose(0, 1) for x in (key, value))
    answered = cascade(asked, shared, Own(keys, values, rows.own_bias))
    output[rows.targets] = answered.permute(0, 3, 1, 2, 4).flatten(2, 3)


AttendRows = Callable[[Tensor, Tensor, Tensor, Tensor, Shared, QueryBlocks, float], None]


@cache
def compiled_attend_rows() -> AttendRows:
    """`attend_rows` compiled for dynamic shapes, without graph breaks."""
    return torch.compile(attend_rows, dynamic=True, fullgraph=True)


class CascadeBackend:
    """Attention to what all segments share, and to what each has of its own, in one softmax."""

    name = "cascade"

    def __init__(self, attend: AttendRows | None = None) -> None:
        self.attend = attend or attend_rows

    def create_mask(
        self, mods: MaskSpec, num_q: int, num_kv: int, device: str
    ) -> list[QueryBlocks]:
        classes: dict[tuple[int, int], list[QueryBlock]] = {}
        for piece in pieces_of(mods):
            classes.setdefault(piece.size_class, []).append(piece)
        tables = [
            piece_rows(rows, mods.first_query, num_q)
            for same in classes.values()
            for rows in split_by_budget(
                same, lambda p: len(p.slots) * (len(p.own) + mods.first_query), _SCORES_AT_ONCE
            )
        ]
        return [QueryBlocks(*(t.to(device) for t in table)) for table in tables]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, mask: list[QueryBlocks], scaling: float
    ) -> Tensor:
        num_q, cached = query.shape[2], key.shape[2] - query.shape[2]
        output = query.new_empty(num_q + 1, query.shape[1], value.shape[-1])
        for rows in mask:
            shared = shared_keys(key[0, :, :cached], value[0, :, :cached], rows.shared_bias)
            with eager_if_single(min(rows.queries.shape)):
                self.attend(output, query[0], key[0], value[0], shared, rows, scaling)
        return output[:num_q].transpose(0, 1)[None]


def pieces_of(mods: MaskSpec) -> Iterator[QueryBlock]:
    """Every new segment, cut into pieces."""
    for segment, span in mods.slots.items():
        if span.start < mods.first_query:
            continue
        seen = list(zip(segment.sees, segment.biases or [0.0] * len(segment.sees), strict=True))
        spans = [(mods.slots[other], bias) for other, bias in seen]
        shared = tuple(pair for pair in spans if pair[0].start < mods.first_query)
        new = [pair for pair in spans if pair[0].start >= mods.first_query]
        before = tuple(slot for slots, _ in new for slot in slots)
        biases = tuple(bias for slots, bias in new for _ in slots)
        for first in range(0, len(span), _PIECE_TOKENS):
            slots = span[first : first + _PIECE_TOKENS]
            yield QueryBlock(slots, (*before, *range(span.start, slots.stop)), biases, shared)


def piece_rows(pieces: Sequence[QueryBlock], first_query: int, num_new: int) -> QueryBlocks:
    """The table of some pieces; what one does not see has -inf."""
    length = max(len(piece.slots) for piece in pieces)
    num_keys = max(len(piece.own) for piece in pieces)
    shape = len(pieces), length
    queries = torch.zeros(shape, dtype=torch.long)
    targets = torch.full(shape, num_new)
    keys = torch.zeros(len(pieces), num_keys, dtype=torch.long)
    own_bias = torch.full((*shape, num_keys), -torch.inf)
    shared_bias = torch.full((len(pieces), 1, first_query), -torch.inf)
    for row, piece in enumerate(pieces):
        count, seen = len(piece.slots), len(piece.own)
        # A padded query repeats the last one: it sees something, and nobody reads its output.
        places = torch.arange(length).clamp(max=count - 1)
        queries[row] = piece.slots.start - first_query + places
        targets[row, :count] = queries[row, :count]
        keys[row, :seen] = torch.tensor(piece.own)
        own_bias[row, :, :seen] = 0.0
        own_bias[row, :, : len(piece.own_bias)] = torch.tensor(piece.own_bias)
        later = torch.arange(count)[None, :] > places[:, None]
        own_bias[row, :, seen - count : seen].masked_fill_(later, -torch.inf)
        for span, bias in piece.shared:
            shared_bias[row, 0, span.start : span.stop] = bias
    return QueryBlocks(queries, targets, keys, own_bias, shared_bias)

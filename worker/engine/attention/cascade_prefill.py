"""The cascade backend of prefill: query blocks of similar size are computed together.

A new segment attends to the cached slots, which all segments share (the prefix), and to a suffix:
the slots of the new segments it sees, and its own tokens causally. Blocks that are computed
together are padded to the longest, which adds a little work to the attention and none to the
layers around it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from worker.engine.attention.backend import FLEX_MIN_TOKENS, AttentionBackend, register_backend
from worker.engine.attention.cascade import cascade, pad_prefix
from worker.engine.attention.mask_spec import MaskSpec, slot_positions
from worker.engine.budget import split_by_budget
from worker.engine.compilation import compiled_form, eager_if_single

_BLOCK_TOKENS = 256
"""Longer segments are cut, which bounds the memory of their scores."""

_LENGTH_STEP = 8
"""Numbers of queries and suffix keys are rounded up to this; equal sizes are computed together."""

_SCORES_AT_ONCE = 1 << 22
"""Scores of one head that are in memory at once."""


@dataclass(frozen=True)
class QueryBlock:
    """Neighbouring tokens of a new segment, and the keys they may see.

    slots: slots of the tokens. suffix: new slots that the tokens see: those of the new segments
    that the segment sees, then its own up to the last of the tokens. suffix_bias: bias of the
    slots of those other segments. prefix: spans of cached slots that the segment sees, each with
    its bias.
    """

    slots: range
    suffix: tuple[int, ...]
    suffix_bias: tuple[float, ...]
    prefix: tuple[tuple[range, float], ...]

    @property
    def size_class(self) -> tuple[int, int]:
        """Numbers of queries and suffix keys, in steps."""
        return -(-len(self.slots) // _LENGTH_STEP), -(-len(self.suffix) // _LENGTH_STEP)

    def num_scores(self, cached: int) -> int:
        """Return the number of scores of one head with `cached` prefix slots."""
        return len(self.slots) * (len(self.suffix) + cached)


class QueryBlocks(NamedTuple):
    """B blocks, padded to T queries and L suffix keys.

    queries: index of each query among the new slots, [B, T]. targets: row of the output to write,
    equal to `queries`, or one past the last row for padding, [B, T]. keys: suffix slots, [B, L].
    suffix_bias: float32 [B, T, L]. prefix_bias: bias of the cached slots, float32
    [B, T or 1, 1, P].
    """

    queries: Tensor
    targets: Tensor
    keys: Tensor
    suffix_bias: Tensor
    prefix_bias: Tensor


def attend_rows(
    output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix: tuple[Tensor, Tensor, Tensor],
    blocks: QueryBlocks,
    scaling: float,
    softcap: float | None,
) -> None:
    """Attend from the queries of some blocks and write their rows of `output` [T + 1, H, D_v].

    query [H, T, D]; key [H_kv, S, D] and value [H_kv, S, D_v] of all slots. prefix: as
    `pad_prefix` returns it. Rows are gathered in here, so that compiled code reads them without a
    copy.
    """
    grouped = (query * scaling).unflatten(0, (key.shape[0], -1))
    queries = grouped[:, :, blocks.queries].permute(2, 0, 1, 3, 4)
    keys, values = (x[:, blocks.keys].transpose(0, 1) for x in (key, value))
    outputs = cascade(queries, *prefix, keys, values, blocks.suffix_bias, softcap=softcap)
    output[blocks.targets] = outputs.permute(0, 3, 1, 2, 4).flatten(2, 3)


AttendRows = Callable[..., None]
"""A form of `attend_rows`."""


class CascadeBackend(AttentionBackend):
    """Attention to the cached keys of all segments and the suffix keys of each, in one softmax."""

    name = "cascade"
    default_on = MappingProxyType({"cpu": "the fastest on a CPU"})
    min_pack = FLEX_MIN_TOKENS

    def __init__(self, attend: AttendRows | None = None) -> None:
        self.attend = attend or attend_rows

    def compiled(self) -> "CascadeBackend":
        return CascadeBackend(compiled_form(attend_rows))

    def create_mask(
        self, spec: MaskSpec, num_q: int, num_kv: int, device: str
    ) -> list[QueryBlocks]:
        classes: dict[tuple[int, int], list[QueryBlock]] = {}
        for block in query_blocks(spec):
            classes.setdefault(block.size_class, []).append(block)
        tables = [
            stack_blocks(group, spec, num_q)
            for blocks in classes.values()
            for group in split_by_budget(
                blocks,
                lambda block: block.num_scores(spec.first_query),
                _SCORES_AT_ONCE,
            )
        ]
        return [QueryBlocks(*(t.to(device) for t in table)) for table in tables]

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: list[QueryBlocks],
        scaling: float,
        softcap: float | None = None,
    ) -> Tensor:
        num_q, cached = query.shape[2], key.shape[2] - query.shape[2]
        output = query.new_empty(num_q + 1, query.shape[1], value.shape[-1])
        for blocks in mask:
            prefix = pad_prefix(key[0, :, :cached], value[0, :, :cached], blocks.prefix_bias)
            with eager_if_single(min(blocks.queries.shape)):
                self.attend(output, query[0], key[0], value[0], prefix, blocks, scaling, softcap)
        return output[:num_q].transpose(0, 1)[None]


def query_blocks(spec: MaskSpec) -> Iterator[QueryBlock]:
    """Yield every new segment, cut into blocks."""
    for segment, span in spec.slots.items():
        if span.start < spec.first_query:
            continue
        seen = list(zip(segment.sees, segment.biases or [0.0] * len(segment.sees), strict=True))
        spans = [(spec.slots[other], bias) for other, bias in seen]
        prefix = tuple(pair for pair in spans if pair[0].start < spec.first_query)
        new = [pair for pair in spans if pair[0].start >= spec.first_query]
        before = tuple(slot for slots, _ in new for slot in slots)
        biases = tuple(bias for slots, bias in new for _ in slots)
        for first in range(0, len(span), _BLOCK_TOKENS):
            slots = span[first : first + _BLOCK_TOKENS]
            yield QueryBlock(slots, (*before, *range(span.start, slots.stop)), biases, prefix)


def stack_blocks(blocks: Sequence[QueryBlock], spec: MaskSpec, num_new: int) -> QueryBlocks:
    """Stack some blocks, padded; a key that a query does not see has bias -inf."""
    length = max(len(block.slots) for block in blocks)
    num_keys = max(len(block.suffix) for block in blocks)
    shape = len(blocks), length
    queries = torch.zeros(shape, dtype=torch.long)
    targets = torch.full(shape, num_new)
    keys = torch.zeros(len(blocks), num_keys, dtype=torch.long)
    suffix_bias = torch.full((*shape, num_keys), -torch.inf)
    prefix_bias = torch.full((len(blocks), 1, 1, spec.first_query), -torch.inf)
    for row, block in enumerate(blocks):
        count, seen = len(block.slots), len(block.suffix)
        # Padding repeats the last query, so that it sees a key; its output is never read.
        places = torch.arange(length).clamp(max=count - 1)
        queries[row] = block.slots.start - spec.first_query + places
        targets[row, :count] = queries[row, :count]
        keys[row, :seen] = torch.tensor(block.suffix)
        suffix_bias[row, :, :seen] = 0.0
        suffix_bias[row, :, : len(block.suffix_bias)] = torch.tensor(block.suffix_bias)
        later = torch.arange(count)[None, :] > places[:, None]
        suffix_bias[row, :, seen - count : seen].masked_fill_(later, -torch.inf)
        for span, bias in block.prefix:
            prefix_bias[row, 0, 0, span.start : span.stop] = bias
    stacked = QueryBlocks(queries, targets, keys, suffix_bias, prefix_bias)
    return stacked if spec.window is None else _within(spec.window, stacked, spec)


def _within(window: int, blocks: QueryBlocks, spec: MaskSpec) -> QueryBlocks:
    """Hide the keys that are `window` positions or more before a query."""
    positions = slot_positions(spec.slots)
    first = positions[blocks.queries + spec.first_query] - window + 1
    suffix_left = positions[blocks.keys][:, None] < first[..., None]
    prefix_left = positions[: spec.first_query] < first[..., None, None]
    return blocks._replace(
        suffix_bias=blocks.suffix_bias.masked_fill(suffix_left, -torch.inf),
        prefix_bias=blocks.prefix_bias.masked_fill(prefix_left, -torch.inf),
    )


CASCADE = CascadeBackend()
register_backend(CASCADE)

"""Faults for tests of the canary, each planted by patching one function of the engine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from worker.engine import model_runner, row_group
from worker.engine.attention import cascade_prefill
from worker.engine.row_group import RowGroup
from worker.model.attention_interface import LayerCall

Patch = Callable[[Any, str, Any], None]
"""`setattr(owner, name, value)`, undone after the test."""


def wrong_scale(patch: Patch) -> None:
    """Scores scaled by a head of half the width."""

    def rescale(call: LayerCall, *inputs: Any) -> Any:
        return call._replace(scaling=call.scaling * 2**0.5), *inputs

    _change_calls(patch, rescale)


def key_head_repeated_wrongly(patch: Patch) -> None:
    """Query heads read the keys of the next key head."""
    _change_calls(patch, lambda call, q, k, v: (call, q, k.roll(1, dims=1), v))


def mask_off_by_one(patch: Patch) -> None:
    """In prefill a token sees the one after it."""
    original = cascade_prefill.stack_blocks

    def stack_blocks(blocks: Any, spec: Any, num_new: int) -> Any:
        rows = original(blocks, spec, num_new)
        for row, block in enumerate(blocks):
            count, seen = len(block.slots), len(block.suffix)
            for i in range(count - 1):
                rows.suffix_bias[row, i, seen - count + i + 1] = 0.0
        return rows

    patch(cascade_prefill, "stack_blocks", stack_blocks)


def another_rope_base(patch: Patch) -> None:
    """Keys are moved by angles of another base: half the base of the usual 10,000."""
    original = row_group.rotation

    def rotation(model: Any, offsets: Any) -> Any:
        rope = model.base_model.rotary_emb
        kept = rope.inv_freq
        width = torch.arange(len(kept), device=kept.device) / len(kept)
        rope.inv_freq = kept * 2**width
        try:
            return original(model, offsets)
        finally:
            rope.inv_freq = kept

    patch(row_group, "rotation", rotation)


def a_neighbour_that_leaks(patch: Patch) -> None:
    """Every segment sees the token before it in the row."""
    original = cascade_prefill.query_blocks

    def query_blocks(spec: Any) -> Any:
        for block in original(spec):
            before = block.slots.start - 1
            leaks = before >= spec.first_query
            yield replace(
                block,
                suffix=(before, *block.suffix) if leaks else block.suffix,
                suffix_bias=(0.0, *block.suffix_bias) if leaks else block.suffix_bias,
            )

    patch(cascade_prefill, "query_blocks", query_blocks)


FAULTS = (
    wrong_scale,
    key_head_repeated_wrongly,
    mask_off_by_one,
    another_rope_base,
    a_neighbour_that_leaks,
)


def _change_calls(patch: Patch, change: Callable[..., Any]) -> None:
    """Change the arguments of attention in prefill and decoding: call, query, key, value."""
    for owner in (model_runner._Filling, RowGroup):
        original = owner.attend

        def attend(self: Any, *inputs: Any, _original: Any = original) -> Any:
            return _original(self, *change(*inputs))

        patch(owner, "attend", attend)

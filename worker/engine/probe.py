"""Probes: a model computes a few tokens that each see themselves alone, and all is kept.

A token that sees itself alone takes its own value from the attention, so what its layers hand
over depends on the token and its position and on nothing else, unless the model mixes tokens
elsewhere. What can be told from that is told here once, when a model is loaded.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention import AttentionContext

PROBE_TOKENS = tuple(range(3, 10))


class Handed(NamedTuple):
    """What a layer hands over to the attention. query: [H, T, D]. key, value: [H_kv, T, D]."""

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor


class Probed(NamedTuple):
    """What every call of the attention was handed, in their order, and logits [T, V]."""

    calls: list[Handed]
    logits: Tensor


@torch.inference_mode()
def probe(
    model: PreTrainedModel, tokens: Sequence[int], positions: Sequence[int], past: Any = None
) -> Probed:
    """Compute one row of tokens that each see themselves alone.

    past: what stands for the keys before the row, where the model shall believe in some. Raises
    StopRun where the attention is wanted in a way that the engine does not compute.
    """
    calls: list[Handed] = []

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        calls.append(Handed(layer, query[0], key[0], value[0]))
        return own_values(query, value)

    output = model(
        input_ids=torch.tensor([list(tokens)], device=model.device),
        position_ids=torch.tensor([list(positions)], device=model.device),
        use_cache=False,
        context=AttentionContext(attend, 0),
        **({} if past is None else {"past_key_values": past}),
    )
    return Probed(calls, output.logits[0])


def own_values(query: Tensor, value: Tensor) -> Tensor:
    """What a token reads that sees itself alone: its value, for each query head."""
    return value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)


def differs(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether the norm of the difference is more than `tolerance` of what is wanted."""
    found, wanted = found.float(), wanted.float()
    return not bool((found - wanted).norm() <= tolerance * wanted.norm())

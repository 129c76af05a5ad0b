"""Probes: one row of tokens that each see themselves alone; every layer's inputs are kept.

Attention returns a token's own value if the token sees itself alone. So queries, keys and values
depend on the token and its position only, unless the model mixes tokens outside the attention.
Models are probed once, when they are loaded.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.model.attention_interface import AttentionContext, LayerCall

PROBE_TOKENS = tuple(range(3, 10))


class AttentionInputs(NamedTuple):
    """Arguments of one layer's attention call.

    query: [H, T, D]. key: [H_kv, T, D]. value: [H_kv, T, D_v].
    """

    call: LayerCall
    query: Tensor
    key: Tensor
    value: Tensor


class ProbeOutput(NamedTuple):
    """The inputs of every attention call, in order, and the logits [T, V]."""

    calls: list[AttentionInputs]
    logits: Tensor


@torch.inference_mode()
def probe(
    model: PreTrainedModel, tokens: Sequence[int], positions: Sequence[int], past: Any = None
) -> ProbeOutput:
    """Compute one row of tokens that each see themselves alone.

    past: a cache that pretends to hold keys before the row; None for no cache. Raises StopRun if
    the model asks for an attention that the engine does not compute.
    """
    calls: list[AttentionInputs] = []

    def attend(call: LayerCall, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        calls.append(AttentionInputs(call, query[0], key[0], value[0]))
        return own_values(query, value)

    output = model(
        input_ids=torch.tensor([list(tokens)], device=model.device),
        position_ids=torch.tensor([list(positions)], device=model.device),
        use_cache=False,
        context=AttentionContext(attend),
        **({} if past is None else {"past_key_values": past}),
    )
    return ProbeOutput(calls, output.logits[0])


def own_values(query: Tensor, value: Tensor) -> Tensor:
    """Attention output of tokens that see themselves alone: their value for each query head."""
    return value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)


def differs(computed: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether the norm of the difference exceeds `tolerance` times the norm of `expected`."""
    computed, expected = computed.float(), expected.float()
    return not bool((computed - expected).norm() <= tolerance * expected.norm())

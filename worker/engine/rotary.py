"""Moving keys: a key computed at one position, read at another (RoPE, Su et al. 2021).

A rotary score depends on the distance of query and key alone, so a key moved by `shift` is
the key rotated by `shift`, and equally the query rotated by `-shift`. Whether a model's keys
are of this kind is not assumed: `can_move_keys` computes both and compares.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention import SdpaKernel
from worker.engine.kv_cache import Prefilled, prefill
from worker.engine.plan import Segment

_FIXED_FREQUENCIES = {"default", "linear", "llama3", "yarn"}


def rotation(model: PreTrainedModel, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [..., head_dim], that move keys by `shifts` positions [...]."""
    embed: Any = model.base_model.rotary_emb
    flat = shifts.reshape(1, -1).to(model.device)
    cos, sin = embed(torch.zeros(1, device=model.device), position_ids=flat)
    scale = float(getattr(embed, "attention_scaling", 1.0))
    return (cos / scale).view(*shifts.shape, -1), (sin / scale).view(*shifts.shape, -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., head_dim] moved forward by the positions that cos and sin stand for."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x.float() * cos + turned * sin).to(x.dtype)


@torch.inference_mode()
def can_move_keys(model: PreTrainedModel, tolerance: float = 2e-2) -> bool:
    """Whether a rotated key equals the key computed elsewhere, in every layer.

    The tolerance is relative to the largest key and admits bfloat16; a model with another
    rotary convention, or layers without positions, misses it by far.
    """
    parameters = getattr(model.config, "rope_parameters", None) or {}
    if parameters.get("rope_type", "default") not in _FIXED_FREQUENCIES:
        return False
    if not hasattr(model.base_model, "rotary_emb"):
        return False
    shift, tokens = 11, tuple(range(3, 10))
    here, there = Segment(tokens, 0), Segment(tokens, shift)
    done = prefill(model, SdpaKernel(), [here, there], Prefilled.empty(model))
    a, b = done.slots[here], done.slots[there]
    cos, sin = rotation(model, torch.full((len(tokens),), shift))
    if cos.shape[-1] != done.keys.shape[-1]:
        return False
    moved, computed = rotate(done.keys[:, :, a], cos, sin), done.keys[:, :, b]
    error = (moved - computed).abs().max() / computed.abs().max()
    return bool(error < tolerance)

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
from worker.engine.rotate import rotate

_FIXED_FREQUENCIES = {"default", "linear", "llama3", "yarn"}


def rotation(model: PreTrainedModel, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [..., head_dim], that move keys by `shifts` positions [...]."""
    embed: Any = model.base_model.rotary_emb
    flat = shifts.reshape(1, -1).to(model.device)
    cos, sin = embed(torch.zeros(1, device=model.device), position_ids=flat)
    scale = float(getattr(embed, "attention_scaling", 1.0))
    return (cos / scale).view(*shifts.shape, -1), (sin / scale).view(*shifts.shape, -1)


@torch.inference_mode()
def can_move_keys(model: PreTrainedModel) -> bool:
    """Whether a rotated key equals the key computed elsewhere, in every layer.

    Every token here sees itself alone, so its hidden states are the same wherever it stands
    and its keys differ by their rotation only, also in half precision.
    """
    parameters = getattr(model.config, "rope_parameters", None) or {}
    if parameters.get("rope_type", "default") not in _FIXED_FREQUENCIES:
        return False
    if any(isinstance(value, dict) for value in parameters.values()):
        return False  # one table for each kind of layer
    if not hasattr(model.base_model, "rotary_emb"):
        return False
    shift, tokens = 103, tuple(range(3, 10))
    alone = [Segment((token,), start) for start in (0, shift) for token in tokens]
    keys = prefill(model, SdpaKernel(), alone, Prefilled.empty(model)).keys
    here, computed = keys.split(len(tokens), dim=2)
    cos, sin = rotation(model, torch.full((len(tokens),), shift))
    if cos.shape[-1] != keys.shape[-1]:
        return False
    moved = rotate(here, cos, sin)
    error = (moved - computed).float().flatten(1).norm(dim=1)
    size = computed.float().flatten(1).norm(dim=1)
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.01
    return bool((error < tolerance * size).all())

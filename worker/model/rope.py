"""Rotating keys and queries (RoPE, Su et al. 2021)."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Move x [..., head_dim] forward by the number of positions that cos and sin encode."""
    first, second = x.float().chunk(2, dim=-1)
    swapped = torch.cat((-second, first), dim=-1)
    return (x.float() * cos + swapped * sin).to(x.dtype)


def rotation(model: PreTrainedModel, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin, float32 [..., head_dim], that move keys by `offsets` positions [...]."""
    embed: Any = model.base_model.rotary_emb
    flat = offsets.reshape(1, -1).to(model.device)
    cos, sin = embed(torch.zeros(1, device=model.device), position_ids=flat)
    scale = float(getattr(embed, "attention_scaling", 1.0))
    return (cos / scale).view(*offsets.shape, -1), (sin / scale).view(*offsets.shape, -1)

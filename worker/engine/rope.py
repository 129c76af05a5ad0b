"""Rotating keys and queries (RoPE, Su et al. 2021)."""

import torch
from torch import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Move x [..., head_dim] forward by the number of positions that cos and sin encode."""
    first, second = x.float().chunk(2, dim=-1)
    swapped = torch.cat((-second, first), dim=-1)
    return (x.float() * cos + swapped * sin).to(x.dtype)

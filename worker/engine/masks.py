"""Masks: a visibility table -> mask_mod -> block mask or dense mask.

Two rules and no more: a token sees an earlier token if the table lets its group see the
other's. mask_mods hold tensor look-ups only, so vmap and compilation accept them. The method
of masking by segment is FlexAttention's document masking (PyTorch, 2024).
"""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import (
    BlockMask,
    _mask_mod_signature,
    _score_mod_signature,
    create_block_mask,
)

MaskMod = _mask_mod_signature
ScoreMod = _score_mod_signature


def generate_visibility_mask_mod(
    q_group: Tensor, q_slot: Tensor, kv_group: Tensor, kv_slot: Tensor, visible: Tensor
) -> MaskMod:
    """mask_mod of `causal & visible[group of query, group of key]`.

    q_group, q_slot: for each query its group and its place in the key order, int, [>= Q].
    kv_group, kv_slot: the same for each key, int, [>= K]. visible: bool, [G, G].
    """

    def visibility_mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        causal = kv_slot[kv_idx] <= q_slot[q_idx]
        return causal & visible[q_group[q_idx], kv_group[kv_idx]]

    return visibility_mask_mod


def generate_bias_score_mod(q_group: Tensor, kv_group: Tensor, bias: Tensor) -> ScoreMod:
    """score_mod that adds `bias[group of query, group of key]`.

    q_group, kv_group: as for the mask. bias: float32, [G, G].
    """

    def bias_score_mod(
        score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor
    ) -> Tensor:
        return score + bias[q_group[q_idx], kv_group[kv_idx]]

    return bias_score_mod


def create_visibility_block_mask(
    mask_mod: MaskMod, num_q: int, num_kv: int, device: str
) -> BlockMask:
    """The mask as blocks, for flex_attention: [1, 1, num_q, num_kv]."""
    return create_block_mask(mask_mod, None, None, num_q, num_kv, device=device)


def create_visibility_dense_mask(
    mask_mod: MaskMod, num_q: int, num_kv: int, device: str, score_mod: ScoreMod | None = None
) -> Tensor:
    """The same mask written out, for SDPA: [1, 1, num_q, num_kv].

    bool, True = seen; with a score_mod float32, what is added to the score, -inf = not seen.
    """
    zero = torch.arange(1, device=device)
    rows, columns = torch.arange(num_q, device=device), torch.arange(num_kv, device=device)
    seen = mask_mod(zero, zero, rows[:, None], columns[None, :])[None, None]
    if score_mod is None:
        return seen
    added = score_mod(torch.zeros(1, device=device), zero, zero, rows[:, None], columns[None, :])
    return added.masked_fill(~seen, -torch.inf)

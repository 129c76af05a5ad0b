"""Masks: a visibility table -> mask_mod -> block mask or dense mask.

A token sees an earlier token if the table lets its group see the group of that token, and, in a
layer with a sliding window, if that token's position lies in its window. A mask_mod consists of
tensor look-ups only, as vmap and compilation require. Masking by segment is FlexAttention's
document masking (PyTorch, 2024).
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
    """Return the mask_mod `causal & visible[group of query, group of key]`.

    q_group, q_slot: group of each query and its place among the keys, int [>= Q]. kv_group,
    kv_slot: group and place of each key, int [>= K]. visible: bool [G, G].
    """

    def visibility_mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        causal = kv_slot[kv_idx] <= q_slot[q_idx]
        return causal & visible[q_group[q_idx], kv_group[kv_idx]]

    return visibility_mask_mod


def generate_window_mask_mod(mask_mod: MaskMod, q_position: Tensor, kv_end: Tensor) -> MaskMod:
    """Return the mask_mod `mask_mod & (position of query < end of key)`.

    q_position: position of each query, int [>= Q]. kv_end: the first position whose window no
    longer holds the key, int [>= K]. A tensor and no number, so that one compilation serves
    windows of all sizes.
    """

    def window_mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return mask_mod(b, h, q_idx, kv_idx) & (q_position[q_idx] < kv_end[kv_idx])

    return window_mask_mod


def generate_bias_score_mod(q_group: Tensor, kv_group: Tensor, bias: Tensor) -> ScoreMod:
    """Return the score_mod that adds `bias[group of query, group of key]`.

    q_group, kv_group: as in `generate_visibility_mask_mod`. bias: float32 [G, G].
    """

    def bias_score_mod(
        score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor
    ) -> Tensor:
        return score + bias[q_group[q_idx], kv_group[kv_idx]]

    return bias_score_mod


def generate_softcap_score_mod(softcap: Tensor, score_mod: ScoreMod | None = None) -> ScoreMod:
    """Return the score_mod that caps a score at `softcap`, and then applies `score_mod`.

    softcap: float32 []. Scores s become softcap * tanh(s / softcap), as in Gemma 2.
    """

    def softcap_score_mod(
        score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor
    ) -> Tensor:
        capped = softcap * torch.tanh(score / softcap)
        return capped if score_mod is None else score_mod(capped, b, h, q_idx, kv_idx)

    return softcap_score_mod


def create_visibility_block_mask(
    mask_mod: MaskMod, num_q: int, num_kv: int, device: str
) -> BlockMask:
    """Evaluate a mask_mod block by block, for flex_attention: [1, 1, num_q, num_kv]."""
    return create_block_mask(mask_mod, None, None, num_q, num_kv, device=device)


def create_visibility_dense_mask(
    mask_mod: MaskMod, num_q: int, num_kv: int, device: str, score_mod: ScoreMod | None = None
) -> Tensor:
    """Evaluate a mask_mod for every pair of tokens, for SDPA: [1, 1, num_q, num_kv].

    Without a score_mod: bool, True where the key is seen. With a score_mod: float32, the number
    added to the score, -inf where the key is not seen.
    """
    zero = torch.arange(1, device=device)
    rows, columns = torch.arange(num_q, device=device), torch.arange(num_kv, device=device)
    seen = mask_mod(zero, zero, rows[:, None], columns[None, :])[None, None]
    if score_mod is None:
        return seen
    bias = score_mod(torch.zeros(1, device=device), zero, zero, rows[:, None], columns[None, :])
    return bias.masked_fill(~seen, -torch.inf)

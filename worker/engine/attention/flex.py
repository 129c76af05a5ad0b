"""The FlexAttention backend (Dong et al. 2024)."""

from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from worker.engine.attention.backend import FLEX_MIN_TOKENS, AttentionBackend, register_backend
from worker.engine.attention.mask_spec import MaskSpec
from worker.engine.attention.masks import (
    ScoreMod,
    create_visibility_block_mask,
    generate_softcap_score_mod,
)
from worker.engine.compilation import compiled_form


class FlexMask(NamedTuple):
    """A MaskSpec for FlexAttention: a BlockMask and an optional score_mod."""

    block_mask: BlockMask
    score_mod: ScoreMod | None


class FlexBackend(AttentionBackend):
    """FlexAttention, compiled once for all lengths; it skips blocks without a visible pair."""

    name = "flex"
    default_on = MappingProxyType({"cuda": "it skips the blocks that nobody sees"})
    min_pack = FLEX_MIN_TOKENS
    compiles = True

    def create_mask(self, spec: MaskSpec, num_q: int, num_kv: int, device: str) -> FlexMask:
        block_mask = create_visibility_block_mask(spec.mask_mod, num_q, num_kv, device)
        return FlexMask(block_mask, spec.score_mod)

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: FlexMask,
        scaling: float,
        softcap: float | None = None,
    ) -> Tensor:
        block_mask, score_mod = mask
        if softcap is not None:
            cap = torch.full((), softcap, device=query.device)
            score_mod = generate_softcap_score_mod(cap, score_mod)
        # One compilation for each head layout and dtype: several models need more than torch's 8.
        with torch._dynamo.config.patch(recompile_limit=64):
            output: Tensor = compiled_form(attend_blocks)(
                query, key, value, block_mask, score_mod, scaling
            )
        return output


def attend_blocks(
    query: Tensor, key: Tensor, value: Tensor,
    mask: BlockMask, score_mod: ScoreMod | None, scale: float,
) -> Tensor:  # fmt: skip
    """Call flex_attention; [1, H, T, D], [1, H_kv, S, D] and [1, H_kv, S, D_v] -> [1, H, T, D_v].

    Eagerly it would compute every pair of tokens.
    """
    output: Tensor = flex_attention(
        query, key, value, score_mod, mask, scale=scale, enable_gqa=True
    )
    return output


FLEX = FlexBackend()
register_backend(FLEX)

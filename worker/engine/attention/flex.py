"""The FlexAttention backend (Dong et al. 2024)."""

from collections.abc import Callable
from functools import cache
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
            cap = torch.tensor(softcap, device=query.device)
            score_mod = generate_softcap_score_mod(cap, score_mod)
        # One compilation for each head layout and dtype: several models need more than torch's 8.
        with torch._dynamo.config.patch(recompile_limit=64):
            return compiled_flex_attention()(query, key, value, block_mask, score_mod, scaling)


@cache
def compiled_flex_attention() -> Callable[..., Tensor]:
    """flex_attention compiled for dynamic shapes, without graph breaks."""

    def attend(
        query: Tensor, key: Tensor, value: Tensor,
        mask: BlockMask, score_mod: ScoreMod | None, scale: float,
    ) -> Tensor:  # fmt: skip
        output: Tensor = flex_attention(
            query, key, value, score_mod, mask, scale=scale, enable_gqa=True
        )
        return output

    return torch.compile(attend, dynamic=True, fullgraph=True)


FLEX = FlexBackend()
register_backend(FLEX)

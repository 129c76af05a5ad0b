"""The FlexAttention backend (Dong et al. 2024)."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from worker.engine.attention.mask_spec import MaskSpec
from worker.engine.attention.masks import ScoreMod, create_visibility_block_mask


class FlexMask(NamedTuple):
    """A MaskSpec for FlexAttention: a BlockMask and an optional score_mod."""

    block_mask: BlockMask
    score_mod: ScoreMod | None


class FlexBackend:
    """FlexAttention, compiled once for all lengths; it skips blocks without a visible pair."""

    name = "flex"

    def create_mask(self, spec: MaskSpec, num_q: int, num_kv: int, device: str) -> FlexMask:
        block_mask = create_visibility_block_mask(spec.mask_mod, num_q, num_kv, device)
        return FlexMask(block_mask, spec.score_mod)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, mask: FlexMask, scaling: float
    ) -> Tensor:
        # One compilation for each head layout and dtype: several models need more than torch's 8.
        with torch._dynamo.config.patch(recompile_limit=64):
            return compiled_flex_attention()(query, key, value, *mask, scaling)


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

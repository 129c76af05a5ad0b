"""The SDPA backend: dense attention."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from common.errors import StopRun
from worker.engine.attention.backend import AttentionBackend, PackLimit, register_backend
from worker.engine.attention.mask_spec import MaskSpec
from worker.engine.attention.masks import create_visibility_dense_mask


class SdpaBackend(AttentionBackend):
    """PyTorch's dense attention with the mask written out."""

    name = "sdpa"
    max_pack = PackLimit(4096, "sdpa takes the square of a longer row")

    def cannot_compute(self, softcap: float | None) -> str | None:
        return None if softcap is None else f"sdpa cannot cap scores, here at {softcap:g}"

    def create_mask(self, spec: MaskSpec, num_q: int, num_kv: int, device: str) -> Tensor:
        return create_visibility_dense_mask(spec.mask_mod, num_q, num_kv, device, spec.score_mod)

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        scaling: float,
        softcap: float | None = None,
    ) -> Tensor:
        if fault := self.cannot_compute(softcap):
            raise StopRun(f"{fault}; set SELF_ENSEMBLE_ATTENTION=cascade")
        mask = mask if mask.dtype == torch.bool else mask.to(query.dtype)
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
        )


SDPA = SdpaBackend()
register_backend(SDPA)

"""What attention backends have in common."""

from typing import Any, Protocol

from torch import Tensor

from worker.engine.attention.mask_spec import MaskSpec

FLEX_MIN_TOKENS = 256
"""Shorter packs use SDPA: a block is 128 wide, so a short pack has no block to skip."""


class AttentionBackend(Protocol):
    """One way to compute masked attention; every backend gives the same answer."""

    name: str

    def create_mask(self, spec: MaskSpec, num_q: int, num_kv: int, device: str) -> Any:
        """Make the `mask` argument of `__call__` from a MaskSpec."""
        ...

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, scaling: float
    ) -> Tensor:
        """Attend: [1, H, T, D], [1, H_kv, S, D] and [1, H_kv, S, D_v] -> [1, H, T, D_v]."""
        ...

"""The base class of attention backends, and their registry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from worker.engine.attention.mask_spec import MaskSpec

FLEX_MIN_TOKENS = 256
"""A block of FlexAttention is 128 wide: a shorter pack has no block to skip."""


class PackLimit(NamedTuple):
    """The largest number of tokens of a pack, with the reason."""

    tokens: int
    reason: str


class AttentionBackend(ABC):
    """One way to compute masked attention; every backend gives the same answer.

    name: its value of SELF_ENSEMBLE_ATTENTION. default_on: device types whose default this backend
    is, with the reason. min_pack: shorter packs use `choose.short_form`. max_pack: the
    largest pack on a GPU. compiles: torch compiles this backend at its first call, which may fail.
    """

    name: ClassVar[str]
    default_on: ClassVar[Mapping[str, str]] = MappingProxyType({})
    min_pack: ClassVar[int] = 0
    max_pack: ClassVar[PackLimit] = PackLimit(65_536, "a longer row gains nothing")
    compiles: ClassVar[bool] = False

    @property
    def canary_tokens(self) -> int:
        """The least number of tokens of the canary's row: what is compiled is for long packs."""
        return self.min_pack if self.compiles else 0

    @abstractmethod
    def create_mask(self, spec: MaskSpec, num_q: int, num_kv: int, device: str) -> Any:
        """Make the `mask` argument of `__call__` from a MaskSpec."""

    @abstractmethod
    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Any,
        scaling: float,
        softcap: float | None = None,
    ) -> Tensor:
        """Attend: [1, H, T, D], [1, H_kv, S, D] and [1, H_kv, S, D_v] -> [1, H, T, D_v].

        softcap: scores s become softcap * tanh(s / softcap) before the mask's bias is added.
        """

    def compiled(self) -> "AttentionBackend":
        """Return the form that a compiled engine uses; torch compiles at its first call."""
        return self

    def cannot_compute(self, softcap: float | None) -> str | None:
        """Say why this backend cannot compute a model whose scores are capped; None if it can."""
        return None


BACKENDS: dict[str, AttentionBackend] = {}
"""The registered backends by name; `choose` registers the ones of this package."""


def register_backend(backend: AttentionBackend) -> None:
    """Make a backend known by its name. Raises ValueError if the name is taken."""
    if backend.name in {"auto", *BACKENDS}:
        raise ValueError(f"attention backend {backend.name!r}: the name is taken; choose another")
    BACKENDS[backend.name] = backend

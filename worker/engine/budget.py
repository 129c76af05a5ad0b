"""The budget: how much the engine computes at once, from free memory; halved when that runs out.

A budget never changes an answer. It stays small: a pack larger than what keeps the processor busy
gains nothing, and other processes need memory, too.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from common.settings import Settings
from worker.engine.attention.backend import AttentionBackend, PackLimit
from worker.host import default_processes
from worker.model.geometry import ModelGeometry, geometry_of
from worker.model.memory import free_memory
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)

T = TypeVar("T")

GIB = 1 << 30
_SHARE = 4
"""Packs get this fraction of free memory, and decoding gets another. Decoding holds the keys of
its prompts twice, as they were prefilled and as its sequences read them, and a third time while
it drops finished sequences."""

_MOST_PACKED_IN_CACHE = PackLimit(4096, "a longer row leaves the processor's caches")
"""For every backend on a CPU."""

_MOST_CACHED_ON_CPU = 2 * GIB
_LEAST_CHOSEN = (256, 64 << 20)
_LEAST = (64, 16 << 20)
_MASK_BYTES = 18
"""For each pair of tokens while a mask is made: two int64 group indices and two booleans."""


@dataclass(frozen=True)
class Budget:
    """Limits of one computation.

    pack_tokens: tokens of one prefill row. cache_bytes: memory for the keys, values and logits of
    sequences decoded at once.
    """

    pack_tokens: int = 4096
    cache_bytes: int = 2 * GIB

    def __str__(self) -> str:
        return f"{self.pack_tokens} tokens a pack, {self.cache_bytes / GIB:.2f} GiB to decode"

    def halved(self) -> "Budget":
        """Return half of both limits, down to a floor; an equal budget if both are at the floor.

        >>> Budget(100, 16 << 20).halved()
        Budget(pack_tokens=64, cache_bytes=16777216)
        """
        now = self.pack_tokens, self.cache_bytes
        return Budget(*(min(n, max(n // 2, least)) for n, least in zip(now, _LEAST, strict=True)))

    def at_most(self, other: "Budget") -> "Budget":
        """Return the smaller of both limits of two budgets."""
        return Budget(
            min(self.pack_tokens, other.pack_tokens), min(self.cache_bytes, other.cache_bytes)
        )


DEFAULT_BUDGET = Budget()
"""The budget of an engine that is given none."""


def pack_bytes_per_token(sizes: ModelGeometry, element: int) -> int:
    """Return the bytes that one token of a prefill row takes. element: bytes of one number.

    These are its keys and values in every layer, which stay, and the intermediate results of one
    layer: the residual, its copies (two of them float32, in the norm), queries, keys and values
    before and after rotation, the attention output, and four vectors of the MLP. All of them are
    counted as if they were in memory at once, so the number is rather too large. Logits are not
    counted: prefill computes none.
    """
    hidden, dim = sizes.hidden_size, max(sizes.key_dim, sizes.value_dim)
    query, keys = sizes.heads * dim, sizes.kv_heads * dim
    layer = element * (3 * hidden + 4 * query + 4 * keys + 4 * sizes.inner_size) + 2 * 4 * hidden
    return layer + element * sizes.slot_numbers


def pack_tokens_within(memory: int, per_token: int) -> int:
    """Return the largest row whose tokens, and a mask between all of them, fit into memory.

    That is the T that solves `_MASK_BYTES * T**2 + per_token * T = memory`.

        >>> pack_tokens_within(18 * 1000**2 + 500 * 1000, 500)
        1000
    """
    root = math.sqrt(per_token**2 + 4 * _MASK_BYTES * memory)
    return int((root - per_token) / (2 * _MASK_BYTES))


def cache_bytes_within(free: int, device: str) -> int:
    """Return the bytes that decoding gets of a process's free memory.

    free: bytes, beside the weights. device: "cpu", "cuda" or "cuda:1".

        >>> cache_bytes_within(6 * GIB, "cuda") / GIB, cache_bytes_within(9 * GIB, "cpu") / GIB
        (1.5, 2.0)
    """
    share = max(_LEAST_CHOSEN[1], free // _SHARE)
    return min(share, _MOST_CACHED_ON_CPU) if device == "cpu" else share


def choose_budget(
    settings: Settings, model: PreTrainedModel, backend: AttentionBackend
) -> tuple[Budget, dict[str, ResolvedSetting]]:
    """Return the budget from the settings or else from free memory, each value with its reason."""
    device = str(model.device)
    free, where = _share_of_free(settings, device)
    tokens = _choose_pack(settings, model, backend, free, where)
    cache = _choose_cache(settings, device, free, where)
    chosen = Budget(int(tokens.value), int(float(cache.value) * GIB))
    return chosen, {"pack_tokens": tokens, "kv_cache_gib": cache}


def _share_of_free(settings: Settings, device: str) -> tuple[int, str]:
    """Return the free bytes for this process, and a clause for the log with their number."""
    processes, sharing = settings.processes or default_processes(), "this host"
    if device.startswith("cuda"):
        sharing = "its GPU"
        if settings.device == "auto":
            processes = math.ceil(processes / torch.cuda.device_count())
    free = free_memory(device) // processes
    among = f" for each of {processes} processes" if processes > 1 else ""
    return free, f"{free / GIB:.1f} GiB are free on {sharing}{among}"


def _choose_pack(
    settings: Settings, model: PreTrainedModel, backend: AttentionBackend, free: int, where: str
) -> ResolvedSetting:
    if settings.pack_tokens is not None:
        return ResolvedSetting(str(settings.pack_tokens), "SELF_ENSEMBLE_PACK_TOKENS asks for it")
    per_token = pack_bytes_per_token(geometry_of(model), model.dtype.itemsize)
    fits = max(_LEAST_CHOSEN[0], pack_tokens_within(free // _SHARE, per_token))
    most, why = _MOST_PACKED_IN_CACHE if model.device.type == "cpu" else backend.max_pack
    if fits < most:
        return ResolvedSetting(str(fits), f"{where}, {per_token / 1024:.0f} KiB a token")
    return ResolvedSetting(str(most), why)


def _choose_cache(settings: Settings, device: str, free: int, where: str) -> ResolvedSetting:
    if settings.kv_cache_gib is not None:
        return ResolvedSetting(
            str(settings.kv_cache_gib), "SELF_ENSEMBLE_KV_CACHE_GIB asks for it"
        )
    chosen = cache_bytes_within(free, device)
    capped = device == "cpu" and free // _SHARE > _MOST_CACHED_ON_CPU
    reason = "more sequences fill no processor better" if capped else where
    return ResolvedSetting(f"{chosen / GIB:.2f}", reason)


def split_by_budget(
    items: Sequence[T], size: Callable[[T], int], budget: int
) -> Iterator[list[T]]:
    """Yield groups of neighbouring items whose sizes add up to at most `budget`.

    An item larger than the budget is a group of its own.
    """
    group: list[T] = []
    used = 0
    for item in items:
        needed = size(item)
        if group and used + needed > budget:
            yield group
            group, used = [], 0
        group.append(item)
        used += needed
    if group:
        yield group

"""Attention alone: one layer over one pack, as prefill makes it, by every backend."""

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_day.stages.bench import Bench
from benchmarks.gpu_day.stages.rows import Figures, Rows
from worker.engine.attention.backend import AttentionBackend
from worker.engine.attention.cascade_prefill import CASCADE
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.segments import Segment

_PREFIX, _SEGMENT = 103, 8
"""Tokens of the prefix and of one paraphrase, counted in the benchmarks' prompts."""

_LENGTHS, _TINY_LENGTHS = (4096, 26_000), (512,)
_LONGEST_DENSE = 4096
_REPEATS = 5

_SDP_BACKENDS = (SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
"""SDPA's backends that may take a mask; flash attention takes none."""


def attention(bench: Bench, rows: Rows) -> None:
    """Measure every backend, each in its own row: one that fails costs only its row."""
    for length in _TINY_LENGTHS if bench.tiny else _LENGTHS:
        pack = RandomPack.make(bench, length)
        for name, limit, backend, sdp_backend in _cases(length):
            row = f"{name}, {length} tokens"
            rows.measure(row, limit, _attend, bench, pack, backend, sdp_backend)


def _cases(length: int) -> Iterator[tuple[str, float, AttentionBackend, SDPBackend | None]]:
    yield "flex", 30, FlexBackend(), None
    yield "cascade eager", 20, CASCADE, None
    yield "cascade compiled", 30, CASCADE.compiled(), None
    if length <= _LONGEST_DENSE:
        yield "sdpa as chosen", 15, SdpaBackend(), None
        for each in _SDP_BACKENDS:
            yield f"sdpa {each.name.removesuffix('_ATTENTION')}", 15, SdpaBackend(), each


@dataclass(frozen=True)
class RandomPack:
    """query [1, H, T, D], key and value [1, H_kv, S, D]; slots of each segment in the cache."""

    query: Tensor
    key: Tensor
    value: Tensor
    slots: Mapping[Segment, range]

    @classmethod
    def make(cls, bench: Bench, length: int) -> "RandomPack":
        """Make a prefix, and segments with `length` tokens in all that see only the prefix."""
        prefix = Segment(tuple(range(_PREFIX)), 0)
        starts = range(0, length // _SEGMENT * _SEGMENT, _SEGMENT)
        segments = [Segment(tuple(range(n, n + _SEGMENT)), _PREFIX, (prefix,)) for n in starts]
        slots, end = {}, 0
        for segment in (prefix, *segments):
            slots[segment] = range(end, end := end + len(segment.tokens))
        config = bench.config
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads or 1
        query = _random(bench, end - _PREFIX, heads)
        key, value = _random(bench, end, kv_heads), _random(bench, end, kv_heads)
        # Queries have the strides that a model gives them, keys those of a cache.
        return cls(query, key.contiguous(), value.contiguous(), slots)


def _random(bench: Bench, length: int, heads: int) -> Tensor:
    """Random [1, heads, length, D] with the strides of a projection."""
    shape = 1, length, heads, int(bench.config.head_dim or 0)
    return torch.randn(shape, dtype=torch.bfloat16, device=bench.device).transpose(1, 2)


@torch.inference_mode()
def _attend(
    bench: Bench, pack: RandomPack, backend: AttentionBackend, sdp_backend: SDPBackend | None
) -> Figures:
    bench.begin_peak()
    device, num_q, num_kv = str(bench.device), pack.query.shape[2], pack.key.shape[2]
    began = time.perf_counter()
    mods = segment_mask_spec(pack.slots, _PREFIX, device)
    described = time.perf_counter()
    mask = backend.create_mask(mods, num_q, num_kv, device)
    bench.synchronize()
    made = time.perf_counter()

    def attend() -> Tensor:
        return backend(pack.query, pack.key, pack.value, mask, pack.query.shape[-1] ** -0.5)

    with sdpa_kernel(sdp_backend) if sdp_backend else nullcontext():
        attend()
        bench.synchronize()
        first = time.perf_counter() - made
        _, took = bench.milliseconds(attend, _REPEATS)
    return {
        "ms": took,
        "first call s": first,
        "mask on the host s": described - began,
        "mask s": made - described,
        "peak GiB": bench.peak_gib(),
    }

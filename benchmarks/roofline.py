"""Floors: what a machine would take at least for a step, by its own measured rates.

A decode step reads every weight and every cached key and value once (the bandwidth floor), and
multiplies every row by every weight (the arithmetic floor). It takes the longer of both at
least. Attention counts as bytes, not as arithmetic.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from benchmarks.measure import RepeatLimit, timed
from benchmarks.rates import LinearShapes, prefill_rate
from benchmarks.timed_engine import Decoding

_COPIES = 8
_COPIED_BYTES = {"cuda": 4 << 30, "cpu": 64 << 20}
_LIMIT = RepeatLimit(repeats=9, seconds=3.0)


@dataclass(frozen=True)
class StepWork:
    """What a step of one model takes. flops: of a row. slot_bytes: of a cached token."""

    weight_bytes: int
    flops: int
    slot_bytes: int

    @classmethod
    def of(cls, config: PreTrainedConfig, dtype: torch.dtype) -> "StepWork":
        """Every linear map of every layer, and the head; embeddings are looked up, not read."""
        shapes = LinearShapes.of(config)
        weights = sum(rows * columns for rows, columns in (*shapes.layers, shapes.head))
        slot = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        return cls(weights * dtype.itemsize, 2 * weights, slot * dtype.itemsize)


@dataclass(frozen=True)
class Machine:
    """Measured rates. multiplied: FLOP/s. moved: bytes/s, read and written."""

    multiplied: float
    moved: float

    @classmethod
    def measure(cls, model: PreTrainedModel) -> "Machine":
        """Of the device that holds the model, in the model's dtype and sizes."""
        rate = prefill_rate(model.config, model.dtype, model.device)
        return cls(rate, copy_rate(model.device))

    def floor_seconds(self, work: StepWork, decodings: Iterable[Decoding]) -> float:
        """Of several decodings, one after the other.

        >>> work = StepWork(weight_bytes=100, flops=50, slot_bytes=2)
        >>> read_bound = Decoding(steps=2, fed=4, own_slots=20, shared_slots=5)
        >>> Machine(multiplied=100.0, moved=10.0).floor_seconds(work, [read_bound])
        30.4
        >>> Machine(multiplied=1.0, moved=10.0).floor_seconds(work, [read_bound])
        200.0
        """
        return sum(self._floor(work, decoding) for decoding in decodings)

    def _floor(self, work: StepWork, decoding: Decoding) -> float:
        # What a row generated it reads again: at step t so far t tokens.
        generated = decoding.fed * (decoding.steps - 1) // 2
        slots = decoding.steps * (decoding.own_slots + decoding.shared_slots) + generated
        read = decoding.steps * work.weight_bytes + slots * work.slot_bytes
        return max(read / self.moved, decoding.fed * work.flops / self.multiplied)


def copy_rate(device: torch.device) -> float:
    """Bytes/s that copying a large tensor reads and writes."""
    size = _COPIED_BYTES[device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def work() -> None:
        for _ in range(_COPIES):
            target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    return 2 * _COPIES * size / timed(work, _LIMIT).seconds

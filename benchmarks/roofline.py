"""Roofline: the rates of a machine, and the least time that a model's work takes there.

A decode step reads every weight and every cached key and value once (the bandwidth floor) and
multiplies every row by every weight (the arithmetic floor). It takes at least the longer of the
two. Attention counts as bytes, not as arithmetic; norms and activations do not count. So a share
of a rate is the share of a machine on which they cost nothing.

Everything but `Machine.measure` needs a model's configuration, not its weights. Williams,
Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from benchmarks.measure import RepeatLimit, timed

SEED = 0
PREFILL_ROWS = 4096
_PRODUCTS = 16
"""Products in a row: waiting for a single one would be much of its time, and lower the rate."""
_PRODUCT_LIMIT = RepeatLimit(repeats=9, seconds=5.0)

_COPIES = 8
_COPIED_BYTES = {"cuda": 4 << 30, "cpu": 64 << 20}
_COPY_LIMIT = RepeatLimit(repeats=9, seconds=3.0)

Shape = tuple[int, int]
"""Outputs and inputs of a weight."""


@dataclass(frozen=True)
class LinearShapes:
    """Shapes of all weights that tokens are multiplied by.

    layers: every linear map of every layer. head: the map to the logits.
    """

    layers: tuple[Shape, ...]
    head: Shape

    @classmethod
    def of(cls, config: PreTrainedConfig) -> "LinearShapes":
        """Read them from an empty model of the configuration: an engine may have fused its own."""
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        body = [m for m in model.base_model.modules() if isinstance(m, nn.Linear)]
        return cls(tuple(_shape(m) for m in body), _shape(model.get_output_embeddings()))

    @property
    def prefill_flops(self) -> int:
        """FLOPs of one prompt token: all layers, no logits."""
        return 2 * sum(outputs * inputs for outputs, inputs in self.layers)


def _shape(module: nn.Module) -> Shape:
    outputs, inputs = module.weight.shape  # type: ignore[misc]
    return int(outputs), int(inputs)


@dataclass(frozen=True)
class Decoding:
    """Counts of one decode loop.

    fed: tokens fed in all steps. own_slots: prompt slots that a single sequence reads at every
    step. shared_slots: prompt slots that all sequences read from one copy.
    """

    steps: int
    fed: int
    own_slots: int
    shared_slots: int


@dataclass(frozen=True)
class StepWork:
    """Work of a decode step. flops: of one row. slot_bytes: of one cached token."""

    weight_bytes: int
    flops: int
    slot_bytes: int

    @classmethod
    def of(cls, config: PreTrainedConfig, dtype: torch.dtype) -> "StepWork":
        """Count every linear map of every layer, and the head; embeddings are only looked up."""
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
        """Measure the model's device, in the model's dtype and sizes."""
        rate = prefill_rate(model.config, model.dtype, model.device)
        return cls(rate, copy_rate(model.device))

    def floor_seconds(self, work: StepWork, decodings: Iterable[Decoding]) -> float:
        """Least seconds of several decodings, one after the other.

        >>> work = StepWork(weight_bytes=100, flops=50, slot_bytes=2)
        >>> read_bound = Decoding(steps=2, fed=4, own_slots=20, shared_slots=5)
        >>> Machine(multiplied=100.0, moved=10.0).floor_seconds(work, [read_bound])
        30.4
        >>> Machine(multiplied=1.0, moved=10.0).floor_seconds(work, [read_bound])
        200.0
        """
        return sum(self._floor(work, decoding) for decoding in decodings)

    def _floor(self, work: StepWork, decoding: Decoding) -> float:
        # A row reads its own generated tokens again: t of them at step t.
        generated = decoding.fed * (decoding.steps - 1) // 2
        slots = decoding.steps * (decoding.own_slots + decoding.shared_slots) + generated
        read = decoding.steps * work.weight_bytes + slots * work.slot_bytes
        return max(read / self.moved, decoding.fed * work.flops / self.multiplied)


def prefill_rate(config: PreTrainedConfig, dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a [4096, hidden] x [hidden, intermediate] product."""
    inputs, outputs = int(config.hidden_size), int(config.intermediate_size)
    seconds = _linear_seconds(((outputs, inputs),) * _PRODUCTS, PREFILL_ROWS, dtype, device)
    return 2 * _PRODUCTS * PREFILL_ROWS * inputs * outputs / seconds


def decode_seconds(
    shapes: LinearShapes, rows: int, dtype: torch.dtype, device: torch.device
) -> float:
    """Seconds of the products alone of one decode step of `rows` sequences.

    Every layer has its own weights here, as in a model: a single layer's would stay in the cache.
    """
    return _linear_seconds((*shapes.layers, shapes.head), rows, dtype, device)


@torch.inference_mode()
def _linear_seconds(
    shapes: tuple[Shape, ...], rows: int, dtype: torch.dtype, device: torch.device
) -> float:
    torch.manual_seed(SEED)
    weights = [torch.randn(shape, dtype=dtype, device=device) for shape in shapes]
    inputs = {n: torch.randn(rows, n, dtype=dtype, device=device) for _, n in shapes}

    def work() -> None:
        for weight in weights:
            linear(inputs[weight.shape[1]], weight)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    return timed(work, _PRODUCT_LIMIT).seconds


def copy_rate(device: torch.device) -> float:
    """Bytes/s that a copy of a large tensor reads and writes."""
    size = _COPIED_BYTES[device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def work() -> None:
        for _ in range(_COPIES):
            target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    return 2 * _COPIES * size / timed(work, _COPY_LIMIT).seconds

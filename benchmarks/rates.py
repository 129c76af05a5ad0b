"""How fast this machine multiplies matrices of a model's shapes: what the engine is held against.

Knows a model's configuration, not its weights. Attention, norms and activations are no part of
it: a share of a rate is a share of what would be reached if they cost nothing.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from benchmarks.measure import RepeatLimit, timed

PREFILL_ROWS = 4096
SEED = 0
_PRODUCTS = 16
"""Waiting for one alone would count for much of its time, and make the rate too low."""

_LIMIT = RepeatLimit(repeats=9, seconds=5.0)

Shape = tuple[int, int]
"""Of a weight: outputs, inputs."""


@dataclass(frozen=True)
class LinearShapes:
    """The shapes of all weights that tokens are multiplied by.

    layers: of every linear map of every layer; head: of the one that gives the logits.
    """

    layers: tuple[Shape, ...]
    head: Shape

    @classmethod
    def of(cls, config: PreTrainedConfig) -> "LinearShapes":
        """From an empty model of the same configuration: an engine may have fused its own."""
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        body = [m for m in model.base_model.modules() if isinstance(m, nn.Linear)]
        return cls(tuple(_shape(m) for m in body), _shape(model.get_output_embeddings()))

    @property
    def prefill_flops(self) -> int:
        """Of one token of a prompt: all layers, no logits."""
        return 2 * sum(outputs * inputs for outputs, inputs in self.layers)


def _shape(module: nn.Module) -> Shape:
    outputs, inputs = module.weight.shape  # type: ignore[misc]
    return int(outputs), int(inputs)


def prefill_rate(config: PreTrainedConfig, dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a [4096, hidden] x [hidden, intermediate] product."""
    inputs, outputs = int(config.hidden_size), int(config.intermediate_size)
    seconds = _linear_seconds(((outputs, inputs),) * _PRODUCTS, PREFILL_ROWS, dtype, device)
    return 2 * _PRODUCTS * PREFILL_ROWS * inputs * outputs / seconds


def decode_seconds(
    shapes: LinearShapes, rows: int, dtype: torch.dtype, device: torch.device
) -> float:
    """Seconds of all products of one decode step of `rows` sequences, and of nothing else.

    Every layer has weights of its own here, too: one layer's would stay in the cache.
    """
    return _linear_seconds((*shapes.layers, shapes.head), rows, dtype, device)


@torch.inference_mode()
def _linear_seconds(
    shapes: tuple[Shape, ...], rows: int, dtype: torch.dtype, device: torch.device
) -> float:
    torch.manual_seed(SEED)
    weights = [torch.randn(shape, dtype=dtype, device=device) for shape in shapes]
    read = {n: torch.randn(rows, n, dtype=dtype, device=device) for _, n in shapes}

    def work() -> None:
        for weight in weights:
            linear(read[weight.shape[1]], weight)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    return timed(work, _LIMIT).seconds

"""Compilation: the layers of a model, made of fewer passes over memory by torch.compile.

The model keeps the `forward` its authors wrote. Each decoder layer is compiled where it stands
("regional compilation"): all layers share one compilation, for dynamic shapes, with a break at
`attention_forward`, which is not traced.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from worker.engine.layers import decoder_layers


def compile_layers(model: PreTrainedModel) -> None:
    """Have the decoder layers compiled at their next call."""
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)


def leave_layers(model: PreTrainedModel) -> None:
    """Have the layers run as they are written again."""
    for layer in decoder_layers(model):
        # What `Module.compile` sets; it has no counterpart that takes it back.
        layer._compiled_call_impl = None


def eager_if_single(rows: int) -> AbstractContextManager[Any]:
    """Run what is compiled as it was written for a single row.

    A size of 1 is compiled for apart from all others, which takes longer than it can save.
    """
    if rows == 1:
        eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()

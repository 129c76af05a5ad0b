"""Compiled layers: torch.compile turns a decoder layer into fewer passes over memory.

The model keeps the `forward` its authors wrote. Each decoder layer is compiled in place
("regional compilation"): all layers share one compilation, for dynamic shapes, with a graph
break at `attention_forward`, which is not traced.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

from worker.model.decoder_layers import decoder_layers


def compile_layers(model: PreTrainedModel) -> None:
    """Let torch compile the decoder layers at their next call."""
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)


def uncompile_layers(model: PreTrainedModel) -> None:
    """Let the decoder layers run as written again."""
    for layer in decoder_layers(model):
        # `Module.compile` sets this attribute, and torch has no call that resets it.
        layer._compiled_call_impl = None


def eager_if_single(rows: int) -> AbstractContextManager[Any]:
    """Return a context in which compiled code runs eagerly if there is one row only.

    torch compiles a size of 1 separately, which takes longer than it can save.
    """
    if rows == 1:
        eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()

"""A decode step that can be repeated, to time it and to capture it as a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from worker.engine.decode import Batch, Results

from worker.engine.engine import Engine

_BEFORE_CAPTURE = 3
"""Calls on a side stream before a capture, which torch requires."""


class SteppingEngine(Engine):
    """The engine; it calls `on_batch` with its next batch before it decodes that batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_batch: Callable[[Batch], None] | None = None

    def _run(self, batch: Batch, results: Results) -> int:
        if self.on_batch:
            on_batch, self.on_batch = self.on_batch, None
            on_batch(batch)
        return super()._run(batch, results)


def repeatable_step(model: PreTrainedModel, batch: Batch) -> Callable[[], Tensor]:
    """Return the forward pass of a step as a function that leaves the batch unchanged.

    Each call writes the keys and values of the newest token to the same slots.
    """

    def step() -> Tensor:
        positions, max_position = batch.positions, batch.max_position
        logits = batch.logits(model)
        batch.positions, batch.max_position = positions, max_position
        for row_group in batch.row_groups:
            row_group.filled -= 1
        return logits

    return step


def captured(step: Callable[[], Tensor]) -> tuple["torch.cuda.CUDAGraph", Tensor]:
    """Capture the step; return its CUDA graph and the tensor of its logits."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_BEFORE_CAPTURE):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = step()
    return graph, logits

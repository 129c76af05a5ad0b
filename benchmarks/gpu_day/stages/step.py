"""A decode step that can be done again and again: to be timed, and to be captured as a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.decode import Batch, Results
from worker.engine.engine import Engine

_BEFORE_CAPTURE = 3
"""Calls on a side stream, which torch asks for before a capture."""


class SteppingEngine(Engine):
    """The engine; the first batch that it decodes is handed to `on_batch` before it is decoded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_batch: Callable[[Batch], None] | None = None

    def _run(self, batch: Batch, results: Results) -> int:
        if self.on_batch:
            on_batch, self.on_batch = self.on_batch, None
            on_batch(batch)
        return super()._run(batch, results)


def repeatable_step(model: PreTrainedModel, batch: Batch) -> Callable[[], Tensor]:
    """The forward of a step, which leaves the batch as it was.

    It writes keys and values of the newest token into the same slots each time.
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
    """The step as a CUDA graph, and the tensor that every replay writes its logits to."""
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

"""A decode step that can be repeated, to time it and to capture it as a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worker.engine.decode_bucket import DecodeBucket
from worker.engine.engine import Engine
from worker.engine.model_runner import ModelRunner

_BEFORE_CAPTURE = 3
"""Calls on a side stream before a capture, which torch requires."""


class SteppingEngine(Engine):
    """The engine; it calls `on_bucket` with its next bucket before it decodes that bucket."""

    on_bucket: Callable[[DecodeBucket], None] | None = None

    def load(self, *args: Any, **kwargs: Any) -> DecodeBucket:
        bucket = super().load(*args, **kwargs)
        if self.on_bucket:
            on_bucket, self.on_bucket = self.on_bucket, None
            on_bucket(bucket)
        return bucket


def repeatable_step(runner: ModelRunner, bucket: DecodeBucket) -> Callable[[], Tensor]:
    """Return the forward pass of a step as a function that leaves the bucket unchanged.

    Each call writes the keys and values of the newest token to the same slots.
    """

    def step() -> Tensor:
        logits = runner.logits(bucket)
        bucket.move_on(-1)
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

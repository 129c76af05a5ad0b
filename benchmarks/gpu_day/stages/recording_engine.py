"""An engine that records the logits of every step for a comparison."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from worker.engine.decode import Batch, Results

from worker.engine.engine import Engine
from worker.engine.outputs import Generation


class RecordingEngine(Engine):
    """The engine, and the logits from which it picked its tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._steps: dict[int, list[Tensor]] = defaultdict(list)
        self._kept: list[tuple[Generation, Tensor]] = []

    def logits_of(self, generated: Generation) -> Tensor:
        """Logits [steps, S, V] of a generation, which this engine finds by identity."""
        return next(logits for known, logits in self._kept if known is generated)

    def _decode(self, *args: Any, **kwargs: Any) -> list[Generation]:
        self._steps.clear()
        generated = super()._decode(*args, **kwargs)
        self._kept += [(g, torch.stack(self._steps[n])) for n, g in enumerate(generated)]
        return generated

    def _run(self, batch: Batch, results: Results) -> int:
        computed = batch.logits

        def logits(model: PreTrainedModel) -> Tensor:
            rows = computed(model)
            for group in batch.groups:
                for number, members in zip(group.ids.tolist(), group.rows, strict=True):
                    self._steps[number].append(rows[members].float().cpu())
            return rows

        batch.logits = logits  # type: ignore[method-assign]
        return super()._run(batch, results)

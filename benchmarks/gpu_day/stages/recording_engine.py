"""An engine that records the logits of every step for a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.records import Sample
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.engine import Engine
from worker.engine.ensembles import Ensemble
from worker.engine.generated_tokens import GeneratedTokens
from worker.engine.kv_cache import KVCache
from worker.engine.model_runner import ModelRunner
from worker.engine.planning import plan_sample, tokenize_samples
from worker.engine.request import Request
from worker.engine.segments import SequencePlan


class RecordingRunner(ModelRunner):
    """The model runner, and the logits from which each ensemble last picked its tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._steps: dict[Ensemble, list[Tensor]] = {}

    def logits_of(self, ensemble: Ensemble) -> Tensor:
        """Logits [steps, S, V] of an ensemble, in float32 on the CPU."""
        return torch.stack(self._steps[ensemble])

    def load(
        self,
        ensembles: Sequence[Ensemble],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        output: GeneratedTokens,
    ) -> DecodeBucket:
        self._steps |= {ensemble: [] for ensemble in ensembles}
        return super().load(ensembles, caches, prefix, output)

    def logits(self, bucket: DecodeBucket) -> Tensor:
        logits = super().logits(bucket)
        for batch in bucket.batches:
            for number, rows in zip(batch.ids.tolist(), batch.rows, strict=True):
                self._steps[bucket.ensembles[number]].append(logits[rows].float().cpu())
        return logits


class RecordingEngine(Engine):
    """The engine, and the logits from which it picked its tokens."""

    runner_type = RecordingRunner
    runner: RecordingRunner

    def logits_of(
        self, samples: Sequence[Sample], request: Request
    ) -> list[dict[str, list[Tensor]]]:
        """Logits [steps, S, V] of each answer by method name, sample by sample.

        The answers are those of the last call of `run` with these samples and this request.
        """
        tokenized = tokenize_samples(samples, request, self.tokenizer)
        prefix = self.prefixes.get(request, {len(each.prompts.prefix) for each in tokenized})
        plans = [plan_sample(s, request, prefix.splitter, self.geometry) for s in tokenized]
        return [
            {name: list(map(self.runner.logits_of, each)) for name, each in plan.by_method.items()}
            for plan in plans
        ]

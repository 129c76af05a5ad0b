"""An engine that records each decoding, and a clock of its model's calls.

A roofline needs both: the work that was done, and the device's seconds. A GPU is still computing
when a call returns, so seconds of the host measure launching, and seconds between two events of
the CUDA stream measure the device. Both leave out what the host does between calls, such as
planning the next pack.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks.roofline import Decoding
from common.records import Sample
from worker.engine.decode_bucket import DecodeBucket
from worker.engine.engine import Engine
from worker.engine.ensembles import Ensemble
from worker.engine.generated_tokens import GeneratedTokens
from worker.engine.kv_cache import KVCache
from worker.engine.model_runner import ModelRunner
from worker.engine.outputs import EngineOutput
from worker.engine.request import OnAnswered, Request, nobody_listens
from worker.engine.segments import SequencePlan
from worker.engine.stats import EngineStats


@dataclass
class CallSeconds:
    """Seconds of several model calls, on the device and on the host, and how many calls."""

    device: float = 0.0
    host: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class ModelSeconds:
    """Prefill calls the body of a model, decode the model with its head."""

    prefill: CallSeconds
    decode: CallSeconds


class ModelClock:
    """Times every call of a model from now on; `take` returns the seconds."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._device = model.device
        self._outermost: nn.Module | None = None
        self._started: tuple[Any, float] = (None, 0.0)
        self._spans: dict[str, list[tuple[Any, Any, float]]] = {"prefill": [], "decode": []}
        self._phases = {model.base_model: "prefill", model: "decode"}
        for module in self._phases:
            module.register_forward_pre_hook(self._begin)
            module.register_forward_hook(self._end, always_call=True)

    def take(self) -> ModelSeconds:
        """Wait for the device; return the seconds of the calls since the last `take`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._outermost = None  # An aborted call never ended.
        seconds = {phase: self._summed(spans) for phase, spans in self._spans.items()}
        for spans in self._spans.values():
            spans.clear()
        return ModelSeconds(**seconds)

    def _begin(self, module: nn.Module, arguments: Any) -> None:
        # The model calls its body: that call belongs to the call that is being timed.
        if self._outermost is None:
            self._outermost, self._started = module, (self._mark(), time.perf_counter())

    def _end(self, module: nn.Module, arguments: Any, output: Any) -> None:
        if module is not self._outermost:
            return
        mark, began = self._started
        host = time.perf_counter() - began
        self._spans[self._phases[module]].append((mark, self._mark(), host))
        self._outermost = None

    def _mark(self) -> Any:
        """Record an event on the CUDA stream; on a CPU return the time."""
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _summed(self, spans: list[tuple[Any, Any, float]]) -> CallSeconds:
        device = sum(self._between(begin, end) for begin, end, _ in spans)
        return CallSeconds(device, sum(host for _, _, host in spans), len(spans))

    def _between(self, begin: Any, end: Any) -> float:
        if self._device.type != "cuda":
            return float(end - begin)
        return float(begin.elapsed_time(end)) / 1e3


class CountingRunner(ModelRunner):
    """The model runner, and a count of every decoding. decodings: those since it was emptied."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decodings: list[Decoding] = []

    def load(
        self,
        ensembles: Sequence[Ensemble],
        caches: Mapping[SequencePlan, KVCache],
        prefix: KVCache,
        output: GeneratedTokens,
    ) -> DecodeBucket:
        sequences = {sequence for ensemble in ensembles for sequence in ensemble.sequences}
        read = [ref.segment for sequence in sequences for ref in sequence.refs]
        own = sum(len(segment.tokens) for segment in read if segment not in prefix.slots)
        shared = sum(len(segment.tokens) for segment in set(read) if segment in prefix.slots)
        self.decodings.append(Decoding(output.max_new_tokens, 0, own, shared))
        return super().load(ensembles, caches, prefix, output)

    def step(self, bucket: DecodeBucket) -> None:
        super().step(bucket)
        self.decodings[-1] = replace(self.decodings[-1], fed=bucket.num_fed)


class TimedEngine(Engine):
    """The engine, a record of its decodings, and the clock of its model."""

    runner_type = CountingRunner
    runner: CountingRunner

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = ModelClock(self.model)
        self._decodings: list[tuple[EngineStats, list[Decoding]]] = []

    def decodings(self, stats: EngineStats) -> list[Decoding]:
        """Decodings of the call that returned these statistics."""
        return next(decodings for known, decodings in self._decodings if known is stats)

    def run(
        self,
        samples: Sequence[Sample | Sequence[str]],
        request: Request,
        on_answered: OnAnswered = nobody_listens,
    ) -> EngineOutput:
        self.runner.decodings = []
        output = super().run(samples, request, on_answered)
        self._decodings.append((output.stats, self.runner.decodings))
        return output

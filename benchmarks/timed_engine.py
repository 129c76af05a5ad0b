"""An engine that records each decoding, and a clock of its model's calls.

A roofline needs both: the work that was done, and the device's seconds. A GPU is still computing
when a call returns, so seconds of the host measure launching, and seconds between two events of
the CUDA stream measure the device. Both leave out what the host does between calls, such as
planning the next pack.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks.roofline import Decoding
from worker.engine.engine import Engine
from worker.engine.request import Counts


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


class TimedEngine(Engine):
    """The engine, a record of its decodings, and the clock of its model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = ModelClock(self.model)
        self._decodings: list[tuple[Counts, Decoding]] = []

    def decodings(self, counts: Counts) -> list[Decoding]:
        """Decodings of the call that filled these counts."""
        return [decoding for known, decoding in self._decodings if known is counts]

    def _decode(self, ensembles: Any, placed: Any, request: Any, counts: Counts) -> Any:
        before = counts.decode_tokens
        generated = super()._decode(ensembles, placed, request, counts)
        cached = self._prefix.cache
        sequences = {sequence for ensemble in ensembles for sequence in ensemble.sequences}
        read = [ref.segment for sequence in sequences for ref in sequence.refs]
        own = sum(len(segment.tokens) for segment in read if segment not in cached.slots)
        shared = sum(len(segment.tokens) for segment in set(read) if segment in cached.slots)
        fed = counts.decode_tokens - before
        decoding = Decoding(request.max_new_tokens, fed, own, shared)
        self._decodings.append((counts, decoding))
        return generated

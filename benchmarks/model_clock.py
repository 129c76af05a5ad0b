"""The clock of a model's calls: seconds of the device by events, and seconds of the host.

A GPU is still computing when a call returns, so seconds of the host say how long launching took,
and seconds between two events of the stream how long the device took. What the host does between
calls, such as planning the next pack, is in neither.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


@dataclass
class CallSeconds:
    """Seconds of some calls, on the device and on the host; and how many calls."""

    device: float = 0.0
    host: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class ModelSeconds:
    """Prefill calls the body of a model, decode the model with its head."""

    prefill: CallSeconds
    decode: CallSeconds


class ModelClock:
    """Times every call of a model from now on, until `take` says what they took."""

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
        """Seconds of the calls since the last `take`; waits until the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._outermost = None  # A call that was broken off has not ended.
        found = {phase: self._summed(spans) for phase, spans in self._spans.items()}
        for spans in self._spans.values():
            spans.clear()
        return ModelSeconds(**found)

    def _begin(self, module: nn.Module, arguments: Any) -> None:
        # The model calls its body: that call is a part of the one that is being timed.
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
        """An event of the device's stream; on a CPU the time."""
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

"""An engine that waits for its device, so that what is timed is work done and not work begun.

Keeps what each decoding was, for the floors it is held against.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from worker.engine.engine import Engine
from worker.engine.request import Counts


@dataclass(frozen=True)
class Decoding:
    """Streams decoded side by side.

    fed: tokens, of all steps. own_slots: of the prompts, those that one stream alone reads, each
    at every step. shared_slots: those that all streams read from one copy.
    """

    steps: int
    fed: int
    own_slots: int
    shared_slots: int


class TimedEngine(Engine):
    """The engine; on a GPU its stages do not overlap."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._decodings: list[tuple[Counts, Decoding]] = []

    def decodings(self, counts: Counts) -> list[Decoding]:
        """Of the call that was given these counts."""
        return [decoding for known, decoding in self._decodings if known is counts]

    def _prefill(self, plans: Any, counts: Counts) -> Any:
        with self._waiting(counts, "prefill_seconds"):
            return super()._prefill(plans, counts)

    def _decode(self, ensembles: Any, prefilled: Any, request: Any, counts: Counts) -> Any:
        before = counts.decode_tokens
        with self._waiting(counts, "decode_seconds"):
            generated = super()._decode(ensembles, prefilled, request, counts)
        resident = self._resident.done
        streams = {stream for ensemble in ensembles for stream in ensemble.streams}
        views = (view for stream in streams for view in stream.views)
        own = sum(len(v.segment.tokens) for v in views if v.segment not in resident.slots)
        fed, shared = counts.decode_tokens - before, resident.num_slots
        decoding = Decoding(request.max_new_tokens, fed, own, shared)
        self._decodings.append((counts, decoding))
        return generated

    @contextmanager
    def _waiting(self, counts: Counts, name: str) -> Iterator[None]:
        """Put the seconds until the device is done in place of those that were counted."""
        spent = getattr(counts, name)
        started = time.perf_counter()
        yield
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        setattr(counts, name, spent + time.perf_counter() - started)

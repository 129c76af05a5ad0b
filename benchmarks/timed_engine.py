"""An engine that keeps what each decoding was, and what its model's calls took.

Both are needed to hold it against floors: the work that was done, and the device's seconds.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks.model_clock import ModelClock
from worker.engine.engine import Engine
from worker.engine.request import Counts


@dataclass(frozen=True)
class Decoding:
    """Sequences decoded side by side.

    fed: tokens, of all steps. own_slots: of the prompts, those that one sequence alone reads, each
    at every step. shared_slots: those that all sequences read from one copy.
    """

    steps: int
    fed: int
    own_slots: int
    shared_slots: int


class TimedEngine(Engine):
    """The engine, what it decoded, and the clock of its model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = ModelClock(self.model)
        self._decodings: list[tuple[Counts, Decoding]] = []

    def decodings(self, counts: Counts) -> list[Decoding]:
        """Of the call that was given these counts."""
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

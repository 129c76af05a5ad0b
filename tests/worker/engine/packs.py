"""Packs of chosen segments, and sequences cut as a pack computes them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel

from worker.engine.attention.backend import AttentionBackend
from worker.engine.compilation import EAGER
from worker.engine.kv_cache import KVCache
from worker.engine.model_runner import ModelRunner
from worker.engine.prefix_tree import Pack
from worker.engine.segments import Segment, SequencePlan
from worker.model.geometry import geometry_of


class WholeSegments:
    """Stands for a pack that computes each of its segments in one piece."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.segments = list(segments)

    def pieces(self) -> dict[Segment, tuple[Segment, ...]]:
        return {segment: (segment,) for segment in self.segments}


def prefill(
    model: PreTrainedModel,
    backend: AttentionBackend,
    segments: Iterable[Segment],
    prefix: KVCache | None = None,
) -> KVCache:
    """Keys and values of segments in the given order, each after those that it sees."""
    runner = ModelRunner(model, geometry_of(model), backend, EAGER)
    pack: Any = WholeSegments(segments)
    return runner.prefill(pack, prefix or runner.empty_cache())


def cut_sequences(
    sequences: Sequence[SequencePlan], known: Collection[Segment] = ()
) -> dict[SequencePlan, SequencePlan]:
    """Map each sequence to a copy that reads the pieces of its segments."""
    pack = Pack(known)
    pack.add(sequences)
    pieces = pack.pieces()
    return {
        sequence: replace(
            sequence,
            refs=tuple(
                replace(ref, segment=piece)
                for ref in sequence.refs
                for piece in pieces.get(ref.segment, (ref.segment,))
            ),
        )
        for sequence in sequences
    }


def distinct_segments(sequences: Sequence[SequencePlan]) -> list[Segment]:
    """Return every segment of some sequences once, each after those it sees."""
    ordered: dict[Segment, None] = {}

    def visit(segment: Segment) -> None:
        if segment not in ordered:
            for seen in segment.sees:
                visit(seen)
            ordered[segment] = None

    for sequence in sequences:
        for ref in sequence.refs:
            visit(ref.segment)
    return list(ordered)

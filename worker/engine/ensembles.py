"""Ensembles: sequences that pick each next token together. All of these are values."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from common.errors import SampleError
from common.methods import Fusion
from common.run import SamplingParams
from worker.engine.segments import SequencePlan

EnsembleKind = tuple[Fusion, int, bool, SamplingParams | None]


@dataclass(frozen=True)
class Draw:
    """How one answer is drawn. seed: seed of its noise, a signed 64-bit integer."""

    sampling: SamplingParams
    seed: int


def seed_of(name: str, number: int) -> int:
    """Return the seed of draw `number` of the sequence called `name`; signed 64 bits."""
    digest = hashlib.sha256(f"{name}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@dataclass(frozen=True)
class Ensemble:
    """Sequences that pick each next token together; a single sequence always has fusion "own".

    weights: one for each sequence, if the fusion reads weights. draw: how tokens are drawn; None
    for the best token.
    """

    sequences: tuple[SequencePlan, ...]
    fusion: Fusion
    weights: tuple[float, ...] | None = None
    draw: Draw | None = None

    @property
    def kind(self) -> "EnsembleKind":
        """Ensembles of equal kind pick their tokens in one operation."""
        sampling = self.draw.sampling if self.draw else None
        return self.fusion, len(self.sequences), self.weights is not None, sampling


@dataclass(frozen=True)
class SamplePlan:
    """Ensembles of each method, in paraphrase order; errors: why a method has none."""

    by_method: dict[str, tuple[Ensemble, ...]]
    errors: Mapping[str, SampleError] = field(default_factory=dict)

    @cached_property
    def ensembles(self) -> tuple[Ensemble, ...]:
        """The distinct ensembles of all methods, in order."""
        ensembles = (e for ensembles in self.by_method.values() for e in ensembles)
        return tuple(dict.fromkeys(ensembles))

    @property
    def sequences(self) -> list[SequencePlan]:
        return [sequence for ensemble in self.ensembles for sequence in ensemble.sequences]

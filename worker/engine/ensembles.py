"""Ensembles: sequences that pick each next token together, and batches of equal kind.

This module knows sequences, and not how they are decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.methods import Fusion
from common.run import SamplingParams
from worker.engine.sampler import Draw
from worker.engine.segments import SequencePlan

EnsembleKind = tuple[Fusion, int, bool, SamplingParams | None]


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


@dataclass
class EnsembleBatch:
    """Running ensembles of one kind.

    rows: row of each sequence in the batch, [E, S]. ids: place of each ensemble in the results,
    [E]. weights: of the sequences, [E, S]. seeds: of the draws, int64 [E].
    """

    fusion: Fusion
    sampling: SamplingParams | None
    rows: Tensor
    ids: Tensor
    weights: Tensor | None
    seeds: Tensor

    def keep(self, running: Tensor) -> None:
        """Drop all other ensembles; running: bool [E]."""
        self.rows, self.ids, self.seeds = (
            self.rows[running],
            self.ids[running],
            self.seeds[running],
        )
        self.weights = None if self.weights is None else self.weights[running]


def ensemble_batches(
    ensembles: Sequence[Ensemble], row_of: Mapping[SequencePlan, int], device: torch.device
) -> list[EnsembleBatch]:
    """Group ensembles by kind; those that read the same sequence share its row."""
    kinds: dict[EnsembleKind, list[int]] = {}
    for number, ensemble in enumerate(ensembles):
        kinds.setdefault(ensemble.kind, []).append(number)
    groups = []
    for (fusion, _, weighted, sampling), numbers in kinds.items():
        members = [ensembles[number] for number in numbers]
        rows = [[row_of[sequence] for sequence in e.sequences] for e in members]
        weights = [e.weights for e in members] if weighted else None
        seeds = [e.draw.seed if e.draw else 0 for e in members]
        groups.append(
            EnsembleBatch(
                fusion,
                sampling,
                torch.tensor(rows, device=device),
                torch.tensor(numbers, device=device),
                None if weights is None else torch.tensor(weights, device=device),
                torch.tensor(seeds, device=device),
            )
        )
    return groups

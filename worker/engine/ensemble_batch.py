"""Ensemble batches: running ensembles of one kind, which pick their tokens in one operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from common.methods import Fusion
from common.run import SamplingParams
from worker.engine.ensembles import Ensemble, EnsembleKind
from worker.engine.segments import SequencePlan


@dataclass
class EnsembleBatch:
    """Running ensembles of one kind.

    rows: row of each sequence in the bucket, [E, S]. ids: place of each ensemble in the bucket's
    output, [E]. weights: of the sequences, [E, S]. seeds: of the draws, int64 [E]. tokens: the
    ones picked last, int64 [E]. finished: ensembles that these tokens finish, bool [E].
    """

    fusion: Fusion
    sampling: SamplingParams | None
    rows: Tensor
    ids: Tensor
    weights: Tensor | None
    seeds: Tensor
    tokens: Tensor
    finished: Tensor
    distinct_rows: Tensor = field(init=False)
    """Rows without repetitions, [R, S]: all draws of a prompt begin as one row."""
    place: Tensor = field(init=False)
    """Index of each ensemble's rows among `distinct_rows`, [E]."""

    def __post_init__(self) -> None:
        self.move_to(self.rows)

    def __len__(self) -> int:
        return len(self.ids)

    def move_to(self, rows: Tensor) -> None:
        """Read other rows of the bucket from now on; rows: [E, S]."""
        self.rows = rows
        if self.sampling is not None:
            self.distinct_rows, self.place = rows.unique(dim=0, return_inverse=True)

    def drop_finished(self) -> None:
        """Drop the ensembles that are finished; reads the device once, for their number."""
        running = self.finished.logical_not().nonzero()[:, 0]
        self.ids, self.seeds = self.ids[running], self.seeds[running]
        self.weights = None if self.weights is None else self.weights[running]
        self.tokens, self.finished = self.tokens[running], self.finished[running]
        self.move_to(self.rows[running])


def ensemble_batches(
    ensembles: Sequence[Ensemble], row_of: Mapping[SequencePlan, int], device: torch.device
) -> list[EnsembleBatch]:
    """Group ensembles by kind; those that read the same sequence share its row."""
    kinds: dict[EnsembleKind, list[int]] = {}
    for number, ensemble in enumerate(ensembles):
        kinds.setdefault(ensemble.kind, []).append(number)
    return [_make_batch(ensembles, numbers, row_of, device) for numbers in kinds.values()]


def _make_batch(
    ensembles: Sequence[Ensemble],
    numbers: Sequence[int],
    row_of: Mapping[SequencePlan, int],
    device: torch.device,
) -> EnsembleBatch:
    """Make the batch of those ensembles that have these numbers; all are of one kind."""
    members = [ensembles[number] for number in numbers]
    fusion, _, weighted, sampling = members[0].kind
    rows = [[row_of[sequence] for sequence in e.sequences] for e in members]
    seeds = [e.draw.seed if e.draw else 0 for e in members]
    weights = torch.tensor([e.weights for e in members], device=device) if weighted else None
    return EnsembleBatch(
        fusion,
        sampling,
        torch.tensor(rows, device=device),
        torch.tensor(numbers, device=device),
        weights,
        torch.tensor(seeds, device=device),
        torch.zeros(len(members), dtype=torch.long, device=device),
        torch.zeros(len(members), dtype=torch.bool, device=device),
    )

"""The decode loop: every stream feeds a token, ensembles pick the next one, the done leave.

Knows streams and ensembles; which method wanted them is `engine`'s business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.cohort import Cohort
from worker.engine.ensembles import FusionGroup
from worker.engine.fusion import FUSIONS
from worker.engine.plan import Stream
from worker.engine.sampling import pick

RUNNING, NEWLINE, EOS, LENGTH = range(4)
FINISH_REASONS = {NEWLINE: "newline", EOS: "eos", LENGTH: "length"}

_COMPACT_BELOW = 0.75
"""Share of rows still running under which caches are copied to drop the finished ones."""


@dataclass(frozen=True)
class Generated:
    """What an ensemble generated: ids (the stop token included) and their log-probabilities."""

    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: str

    @property
    def logprob(self) -> float:
        """Of the whole answer."""
        return math.fsum(self.token_logprobs)


class Batch:
    """Streams being decoded: row i of the batch feeds tokens[i] at positions[i]."""

    def __init__(
        self, cohorts: Sequence[Cohort], streams: Sequence[Stream], groups: list[FusionGroup]
    ) -> None:
        device = groups[0].rows.device
        self.cohorts = list(cohorts)
        self.groups = groups
        self.tokens = torch.tensor([s.token for s in streams], device=device)
        self.positions = torch.tensor([s.position for s in streams], device=device)
        self.max_position = max(s.position for s in streams)

    def __len__(self) -> int:
        return len(self.tokens)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        """The batch is one row of B tokens: query [1, H, B, D] -> [1, H, B, D]."""
        parts = (
            x[0].transpose(0, 1).split([len(c) for c in self.cohorts]) for x in (query, key, value)
        )
        outputs = [
            cohort.attend(layer, q, k, v, scaling)
            for cohort, q, k, v in zip(self.cohorts, *parts, strict=True)
        ]
        return torch.cat(outputs).transpose(0, 1)[None]

    def logits(self, model: PreTrainedModel) -> Tensor:
        """Feed one token per stream; float32 [B, V]."""
        output = model(
            input_ids=self.tokens[None],
            position_ids=self.positions[None],
            use_cache=False,
            context=self,
        )
        for cohort in self.cohorts:
            cohort.filled += 1
        self.positions = self.positions + 1
        self.max_position += 1
        logits: Tensor = output.logits[0]
        return logits.float()

    def drop(self, finished: Sequence[Tensor]) -> None:
        """Forget finished ensembles (bool [E] of each group), and their rows when many are."""
        keep = torch.zeros(len(self), dtype=torch.bool, device=self.tokens.device)
        for group, done in zip(self.groups, finished, strict=True):
            group.keep(~done)
            keep[group.rows.flatten()] = True
        self.groups = [group for group in self.groups if len(group.ids)]
        if self.groups:
            self.max_position = int(self.positions[keep].max())
        if int(keep.sum()) <= _COMPACT_BELOW * len(self):
            self._compact(keep)

    def _compact(self, keep: Tensor) -> None:
        moved = keep.cumsum(0) - 1
        for group in self.groups:
            group.rows = moved[group.rows]
        kept = keep.split([len(cohort) for cohort in self.cohorts])
        for cohort, rows in zip(self.cohorts, kept, strict=True):
            cohort.keep(rows.nonzero()[:, 0])
        self.cohorts = [cohort for cohort in self.cohorts if len(cohort)]
        self.tokens, self.positions = self.tokens[keep], self.positions[keep]


class Results:
    """Tokens of all ensembles of a batch, filled as they come."""

    def __init__(self, count: int, max_new_tokens: int, device: torch.device) -> None:
        self.tokens = torch.zeros(count, max_new_tokens, dtype=torch.long, device=device)
        self.lengths = torch.zeros(count, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, max_new_tokens, device=device)
        self.states = torch.zeros(count, dtype=torch.long, device=device)

    def add(self, ids: Tensor, tokens: Tensor, logprobs: Tensor, stops: Tensor) -> Tensor:
        """Append a token to each ensemble; returns which are finished by it, bool [E]."""
        self.tokens[ids, self.lengths[ids]] = tokens
        self.logprobs[ids, self.lengths[ids]] = logprobs
        self.lengths[ids] += 1
        states = stops[tokens]
        full = self.lengths[ids] == self.tokens.shape[1]
        self.states[ids] = torch.where((states == RUNNING) & full, LENGTH, states)
        return self.states[ids] != RUNNING

    def generated(self) -> list[Generated]:
        rows = zip(
            self.tokens.tolist(),
            self.lengths.tolist(),
            self.logprobs.tolist(),
            self.states.tolist(),
            strict=True,
        )
        return [
            Generated(tuple(t[:n]), tuple(logprobs[:n]), FINISH_REASONS[state])
            for t, n, logprobs, state in rows
        ]


def decode(model: PreTrainedModel, batch: Batch, results: Results, stops: Tensor) -> int:
    """Decode until every ensemble has stopped; returns the number of tokens fed.

    stops: for each id of the vocabulary RUNNING, NEWLINE or EOS, int [V].
    """
    fed = 0
    while batch.groups:
        fed += len(batch)
        logits = batch.logits(model)
        batch.drop([_advance(batch, group, logits, results, stops) for group in batch.groups])
    return fed


def _advance(
    batch: Batch, group: FusionGroup, logits: Tensor, results: Results, stops: Tensor
) -> Tensor:
    scores = FUSIONS[group.fusion](logits[group.rows], group.weights)
    if group.sampling is None:
        tokens = scores.argmax(dim=-1)
    else:
        tokens = pick(scores, group.sampling, group.seeds, results.lengths[group.ids])
    batch.tokens[group.rows] = tokens[:, None]
    return results.add(group.ids, tokens, scores.gather(-1, tokens[:, None])[:, 0], stops)

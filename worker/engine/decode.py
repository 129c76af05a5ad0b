"""The decode loop: every sequence feeds a token, ensembles pick the next one, the done leave.

Knows sequences and ensembles; which method wanted them is `engine`'s business.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention import AttentionContext
from worker.engine.cascade import Attend
from worker.engine.compiled import eager_if_single
from worker.engine.ensembles import Ensemble, EnsembleBatch, fusion_groups
from worker.engine.fusion import FUSIONS, PickBest, gathered, pick_best
from worker.engine.kv_cache import KVCache, Placed
from worker.engine.layer_calls import LayerCalls
from worker.engine.plan import SequencePlan
from worker.engine.row_group import RowGroup, similar_sequences
from worker.engine.sampling import sample_tokens

RUNNING, NEWLINE, EOS, LENGTH = range(4)
FINISH_REASONS = {NEWLINE: "newline", EOS: "eos", LENGTH: "length"}

_COMPACT_BELOW = 0.75
"""Share of rows still running under which caches are copied to drop the finished ones."""


@dataclass(frozen=True)
class Generation:
    """What an ensemble generated: ids (the stop token included) and their log-probabilities."""

    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: str

    @property
    def not_a_number(self) -> int | None:
        """The first token that was picked from logits which are not numbers; None if all were.

        One NaN (or infinite) logit makes all log-probabilities of its row NaN.
        """
        return next((i for i, p in enumerate(self.token_logprobs) if math.isnan(p)), None)

    @property
    def logprob(self) -> float:
        """Of the whole answer."""
        return math.fsum(self.token_logprobs)


class Batch:
    """Sequences being decoded: row i of the batch feeds tokens[i] at positions[i]."""

    def __init__(
        self,
        row_groups: Sequence[RowGroup],
        sequences: Sequence[SequencePlan],
        groups: list[EnsembleBatch],
    ) -> None:
        device = groups[0].rows.device
        self.row_groups = list(row_groups)
        self.groups = groups
        self.tokens = torch.tensor([s.token for s in sequences], device=device)
        self.positions = torch.tensor([s.position for s in sequences], device=device)
        self.max_position = max(s.position for s in sequences)

    def __len__(self) -> int:
        return len(self.tokens)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float
    ) -> Tensor:
        """The batch is one row of B tokens: query [1, H, B, D] -> [1, H, B, D]."""
        sizes = [len(row_group) for row_group in self.row_groups]
        parts = (x[0].transpose(0, 1).split(sizes) for x in (query, key, value))
        outputs = [
            row_group.attend(layer, q, k, v, scaling)
            for row_group, q, k, v in zip(self.row_groups, *parts, strict=True)
        ]
        return torch.cat(outputs).transpose(0, 1)[None]

    def logits(self, model: PreTrainedModel) -> Tensor:
        """Feed one token per row; [B, V]."""
        calls = LayerCalls(self.attend)
        with eager_if_single(len(self)):
            output = model(
                input_ids=self.tokens[None],
                position_ids=self.positions[None],
                use_cache=False,
                context=AttentionContext(calls.attend, self.max_position),
            )
        calls.check(model, len(self.row_groups[0].keys))
        for row_group in self.row_groups:
            row_group.filled += 1
        self.positions = self.positions + 1
        self.max_position += 1
        logits: Tensor = output.logits[0]
        return logits

    def advance(self, finished: Sequence[Tensor], tokens: Sequence[Tensor]) -> None:
        """Go on with the ensembles that are not finished, each feeding the token it picked.

        finished: bool [E] of each group. tokens: int64 [E] of each.
        """
        following = []
        for group, done, picked in zip(self.groups, finished, tokens, strict=True):
            group.keep(~done)
            following.append(picked[~done, None].expand_as(group.rows).flatten())
        self.groups = [group for group in self.groups if len(group.ids)]
        if self.groups:
            self._feed(
                torch.cat([group.rows.flatten() for group in self.groups]), torch.cat(following)
            )

    def _feed(self, rows: Tensor, tokens: Tensor) -> None:
        """Row by row what comes next; a row that several tokens follow is forked.

        rows 0 0 0 1 1, tokens 5 5 7 5 5 -> rows 0 1 2 that feed 5 7 5
        """
        pairs, place = torch.stack((rows, tokens)).unique(dim=1, return_inverse=True)
        sources, tokens = pairs
        self.max_position = int(self.positions[sources].max())
        forked = len(sources) > len(rows.unique())
        if forked or len(sources) <= _COMPACT_BELOW * len(self):
            self._keep(sources)
            sources = torch.arange(len(sources), device=sources.device)
            for group, moved in zip(
                self.groups, place.split([g.rows.numel() for g in self.groups]), strict=True
            ):
                group.rows = moved.view_as(group.rows)
        self.tokens[sources] = tokens

    def _keep(self, rows: Tensor) -> None:
        first = 0
        for row_group in self.row_groups:
            last = first + len(row_group)
            row_group.keep(rows[(first <= rows) & (rows < last)] - first)
            first = last
        self.row_groups = [row_group for row_group in self.row_groups if len(row_group)]
        self.tokens, self.positions = self.tokens[rows], self.positions[rows]


def start_batch(
    model: PreTrainedModel,
    ensembles: Sequence[Ensemble],
    placed: Mapping[SequencePlan, Placed],
    cached: KVCache,
    max_new_tokens: int,
    attend: Attend,
) -> Batch:
    """The sequences of some ensembles, side by side; those of one shape share a row group."""
    sequences = list(dict.fromkeys(s for ensemble in ensembles for s in ensemble.sequences))
    grouped = similar_sequences([placed[sequence] for sequence in sequences], cached)
    groups = [[sequences[i] for i in members] for members in grouped]
    row_groups = [
        RowGroup(model, [placed[s] for s in group], cached, max_new_tokens, attend)
        for group in groups
    ]
    rows = [sequence for group in groups for sequence in group]
    row_of = {sequence: row for row, sequence in enumerate(rows)}
    return Batch(row_groups, rows, fusion_groups(ensembles, row_of, model.device))


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

    def generated(self) -> list[Generation]:
        rows = zip(
            self.tokens.tolist(),
            self.lengths.tolist(),
            self.logprobs.tolist(),
            self.states.tolist(),
            strict=True,
        )
        return [
            Generation(tuple(t[:n]), tuple(logprobs[:n]), FINISH_REASONS[state])
            for t, n, logprobs, state in rows
        ]


def decode(
    model: PreTrainedModel,
    batch: Batch,
    results: Results,
    stops: Tensor,
    pick_best: PickBest = pick_best,
) -> int:
    """Decode until every ensemble has stopped; returns the number of tokens fed.

    stops: for each id of the vocabulary RUNNING, NEWLINE or EOS, int [V].
    """
    fed = 0
    while batch.groups:
        fed += len(batch)
        logits = batch.logits(model)
        picked = [_next_tokens(group, logits, results, pick_best) for group in batch.groups]
        finished = [
            results.add(group.ids, tokens, logprobs, stops)
            for group, (tokens, logprobs) in zip(batch.groups, picked, strict=True)
        ]
        batch.advance(finished, [tokens for tokens, _ in picked])
    return fed


def _next_tokens(
    group: EnsembleBatch, logits: Tensor, results: Results, pick_best: PickBest
) -> tuple[Tensor, Tensor]:
    """The next token of each ensemble of a group and its log-score, [E] each."""
    if group.sampling is None:
        return pick_best(gathered(logits, group.rows), group.fusion, group.weights)
    # Draws of a prompt begin as one row, whose scores all of them read.
    distinct, rows = group.rows.unique(dim=0, return_inverse=True)
    scores = FUSIONS[group.fusion](gathered(logits, distinct).float(), None)
    # A row of NaN is drawn from as if all tokens were alike; its log-probability stays NaN.
    numbers = scores.masked_fill(scores.isnan(), 0.0)
    tokens = sample_tokens(numbers, group.sampling, group.seeds, results.lengths[group.ids], rows)
    return tokens, scores[rows, tokens]

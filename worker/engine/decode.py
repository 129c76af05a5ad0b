"""The decode loop: each step feeds one token per row and picks the next one of each ensemble.

Finished rows are dropped. The loop knows sequences and ensembles, and no methods.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.attention.cascade import AttendCascade
from worker.engine.compiled import eager_if_single
from worker.engine.ensembles import Ensemble, EnsembleBatch, ensemble_batches
from worker.engine.fusions import FUSIONS, PickBest, choose, gather_logits, pick_best
from worker.engine.kv_cache import KVCache, Placed
from worker.engine.row_group import RowGroup, similar_sequences
from worker.engine.sampler import sample_tokens
from worker.engine.segments import SequencePlan
from worker.engine.stop_automaton import LENGTH_STATE
from worker.engine.stop_table import StopTable
from worker.model.attention_interface import AttentionContext
from worker.model.layer_calls import LayerCalls

_COMPACT_BELOW = 0.75
"""Caches are copied without their finished rows when fewer than this share is still running."""


@dataclass(frozen=True)
class Generation:
    """Output of an ensemble: token ids, the stop token included, and their log-probabilities."""

    tokens: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: str

    @property
    def not_a_number(self) -> int | None:
        """Index of the first token that was picked from NaN logits; None if there is none.

        One NaN or infinite logit makes all log-probabilities of its row NaN.
        """
        return next((i for i, p in enumerate(self.token_logprobs) if math.isnan(p)), None)

    @property
    def logprob(self) -> float:
        """Log-probability of the whole answer."""
        return math.fsum(self.token_logprobs)


class Batch:
    """Sequences that are being decoded: row i feeds tokens[i] at positions[i]."""

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
        """Attend from the tokens of all rows, handed over as one row: [1, H, B, D] -> same."""
        sizes = [len(row_group) for row_group in self.row_groups]
        parts = (x[0].transpose(0, 1).split(sizes) for x in (query, key, value))
        outputs = [
            row_group.attend(layer, q, k, v, scaling)
            for row_group, q, k, v in zip(self.row_groups, *parts, strict=True)
        ]
        return torch.cat(outputs).transpose(0, 1)[None]

    def logits(self, model: PreTrainedModel) -> Tensor:
        """Feed one token per row; returns logits [B, V]."""
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
        """Drop finished ensembles; the others feed the token they picked in the next step.

        finished: bool [E] for each group. tokens: int64 [E] for each group.
        """
        next_tokens = []
        for group, stopped, picked in zip(self.groups, finished, tokens, strict=True):
            group.keep(~stopped)
            next_tokens.append(picked[~stopped, None].expand_as(group.rows).flatten())
        self.groups = [group for group in self.groups if len(group.ids)]
        if self.groups:
            self._feed(
                torch.cat([group.rows.flatten() for group in self.groups]), torch.cat(next_tokens)
            )

    def _feed(self, rows: Tensor, tokens: Tensor) -> None:
        """Set the next token of each row; a row with several next tokens is forked.

        rows 0 0 0 1 1, tokens 5 5 7 5 5 -> rows 0 1 2 that feed 5 7 5
        """
        pairs, place = torch.stack((rows, tokens)).unique(dim=1, return_inverse=True)
        sources, tokens = pairs
        self.max_position = int(self.positions[sources].max())
        forked = len(sources) > len(rows.unique())
        if forked or len(sources) <= _COMPACT_BELOW * len(self):
            self._keep(sources)
            sources = torch.arange(len(sources), device=sources.device)
            for group, new_rows in zip(
                self.groups, place.split([g.rows.numel() for g in self.groups]), strict=True
            ):
                group.rows = new_rows.view_as(group.rows)
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
    prefix: KVCache,
    max_new_tokens: int,
    attend: AttendCascade,
) -> Batch:
    """Make a batch of the ensembles' sequences; sequences of similar shape share a row group."""
    sequences = list(dict.fromkeys(s for ensemble in ensembles for s in ensemble.sequences))
    grouped = similar_sequences([placed[sequence] for sequence in sequences], prefix)
    groups = [[sequences[i] for i in members] for members in grouped]
    row_groups = [
        RowGroup(model, [placed[s] for s in group], prefix, max_new_tokens, attend)
        for group in groups
    ]
    rows = [sequence for group in groups for sequence in group]
    row_of = {sequence: row for row, sequence in enumerate(rows)}
    return Batch(row_groups, rows, ensemble_batches(ensembles, row_of, model.device))


class Results:
    """Tokens of all ensembles of a batch, appended step by step.

    stops: says which tokens end an answer. max_reasoning_tokens: an answer that is still
    reasoning after so many has to take the end mark; None for no such limit.
    """

    def __init__(
        self,
        count: int,
        max_new_tokens: int,
        stops: StopTable,
        max_reasoning_tokens: int | None = None,
    ) -> None:
        device, automaton = stops.next_state.device, stops.automaton
        self._stops = stops
        self._num_finals = len(automaton.reasons)
        self._max_reasoning_tokens = max_reasoning_tokens if automaton.has_reasoning else None
        self.tokens = torch.zeros(count, max_new_tokens, dtype=torch.long, device=device)
        self.lengths = torch.zeros(count, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, max_new_tokens, device=device)
        self.states = torch.full((count,), automaton.begin, device=device)
        self.num_forced = torch.zeros(count, dtype=torch.long, device=device)

    def force(self, ids: Tensor) -> Tensor | None:
        """Return the token that each ensemble has to take next, int64 [E]; -1 for any token.

        None if none ever has to. Hears that they take it: the end mark may be several tokens.
        """
        if self._max_reasoning_tokens is None:
            return None
        inside = self.states[ids] >= self._stops.automaton.first_reasoning
        due = inside & (self.lengths[ids] >= self._max_reasoning_tokens)
        place, mark = self.num_forced[ids], self._stops.end_mark
        self.num_forced[ids] = torch.where(due, place + 1, 0)
        return torch.where(due, mark[place % len(mark)], -1)

    def add(self, ids: Tensor, tokens: Tensor, logprobs: Tensor) -> Tensor:
        """Append a token to each ensemble; returns which ones it finishes, bool [E]."""
        lengths = self.lengths[ids]
        self.tokens[ids, lengths] = tokens
        self.logprobs[ids, lengths] = logprobs
        self.lengths[ids] = lengths + 1
        states = self._stops.next_state[self.states[ids], tokens].long()
        full = lengths == self.tokens.shape[1] - 1
        states = torch.where((states >= self._num_finals) & full, LENGTH_STATE, states)
        self.states[ids] = states
        return states < self._num_finals

    def generations(self) -> list[Generation]:
        """Read the answers of all ensembles from the device, in order."""
        rows = zip(
            self.tokens.tolist(),
            self.lengths.tolist(),
            self.logprobs.tolist(),
            self.states.tolist(),
            strict=True,
        )
        return [
            Generation(tuple(t[:n]), tuple(logprobs[:n]), self._stops.automaton.reasons[state])
            for t, n, logprobs, state in rows
        ]


def decode(
    model: PreTrainedModel,
    batch: Batch,
    results: Results,
    pick_best: PickBest = pick_best,
) -> int:
    """Decode until every ensemble has stopped; returns the number of tokens fed."""
    fed = 0
    while batch.groups:
        fed += len(batch)
        logits = batch.logits(model)
        picked = [_next_tokens(group, logits, results, pick_best) for group in batch.groups]
        finished = [
            results.add(group.ids, tokens, logprobs)
            for group, (tokens, logprobs) in zip(batch.groups, picked, strict=True)
        ]
        batch.advance(finished, [tokens for tokens, _ in picked])
    return fed


def _next_tokens(
    group: EnsembleBatch, logits: Tensor, results: Results, pick_best: PickBest
) -> tuple[Tensor, Tensor]:
    """Return the next token of each ensemble of a group and its log-score, [E] each."""
    forced = results.force(group.ids)
    if group.sampling is None:
        return pick_best(gather_logits(logits, group.rows), group.fusion, group.weights, forced)
    # All draws of a prompt begin as one row and read its scores.
    distinct, rows = group.rows.unique(dim=0, return_inverse=True)
    scores = FUSIONS[group.fusion](gather_logits(logits, distinct).float(), None)
    # A row of NaN is sampled as if its tokens were equally likely; its log-probability stays NaN.
    numbers = scores.masked_fill(scores.isnan(), 0.0)
    tokens = sample_tokens(numbers, group.sampling, group.seeds, results.lengths[group.ids], rows)
    tokens = choose(tokens, forced)
    return tokens, scores[rows, tokens]

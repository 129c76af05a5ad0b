"""The decode bucket: everything that changes while some ensembles decode, on their device.

A bucket has one to three row groups of sequences that are decoded in one forward pass. It knows
rows, ensembles and output, and no methods.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from worker.engine.ensemble_batch import EnsembleBatch, ensemble_batches
from worker.engine.ensembles import Ensemble
from worker.engine.generated_tokens import GeneratedTokens
from worker.engine.outputs import Generation
from worker.engine.row_group import RowGroup
from worker.engine.segments import SequencePlan
from worker.model.attention_interface import LayerCall

_COMPACT_BELOW = 0.75
"""Caches are copied without their finished rows when fewer than this share is still running."""


class DecodeBucket:
    """Sequences that are being decoded: row i feeds tokens[i] at positions[i].

    row_groups: keys and values of the rows, in order. sequences: those of the rows. output:
    tokens of all ensembles, running and finished.
    """

    def __init__(
        self,
        row_groups: Sequence[RowGroup],
        sequences: Sequence[SequencePlan],
        ensembles: Sequence[Ensemble],
        output: GeneratedTokens,
    ) -> None:
        device = output.tokens.device
        rows: Mapping[SequencePlan, int] = {each: row for row, each in enumerate(sequences)}
        self.row_groups = list(row_groups)
        self.ensembles = ensembles
        self.batches = ensemble_batches(ensembles, rows, device)
        self.tokens = torch.tensor([s.token for s in sequences], device=device)
        self.positions = torch.tensor([s.position for s in sequences], device=device)
        self.output = output
        self.num_fed = 0

    @property
    def num_rows(self) -> int:
        """Rows that the next step feeds."""
        return len(self.tokens)

    @property
    def num_running(self) -> int:
        """Ensembles that are not finished; `compact` brings it up to date."""
        return sum(map(len, self.batches))

    def attend(self, call: LayerCall, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the tokens of all rows, handed over as one row: [1, H, B, D] -> same."""
        sizes = [len(row_group) for row_group in self.row_groups]
        parts = (x[0].transpose(0, 1).split(sizes) for x in (query, key, value))
        outputs = [
            row_group.attend(call, q, k, v)
            for row_group, q, k, v in zip(self.row_groups, *parts, strict=True)
        ]
        return torch.cat(outputs).transpose(0, 1)[None]

    def move_on(self, steps: int = 1) -> None:
        """Count so many tokens fed per row; a number below 0 takes them back.

        In place, so that a captured step leaves positions where they are.
        """
        for row_group in self.row_groups:
            row_group.move_on(steps)
        self.positions += steps
        self.num_fed += steps * self.num_rows

    def write(self, batch: EnsembleBatch, tokens: Tensor, logprobs: Tensor) -> None:
        """Append a token to each ensemble of a batch; both [E]."""
        batch.tokens = tokens
        batch.finished = self.output.append(batch.ids, tokens, logprobs)

    def compact(self) -> None:
        """Drop finished ensembles and set the next token of every row.

        A row whose ensembles picked several tokens is forked: rows 0 0 0 1 1 with tokens 5 5 7 5 5
        become rows 0 1 2 that feed 5 7 5. Rows that nobody reads are dropped once they are many.
        """
        for batch in self.batches:
            batch.drop_finished()
        self.batches = [batch for batch in self.batches if len(batch)]
        if not self.batches:
            return
        rows = torch.cat([batch.rows.flatten() for batch in self.batches])
        tokens = torch.cat([b.tokens[:, None].expand_as(b.rows).flatten() for b in self.batches])
        pairs, place = torch.stack((rows, tokens)).unique(dim=1, return_inverse=True)
        sources, tokens = pairs
        forked = len(sources) > len(rows.unique())
        if forked or len(sources) <= _COMPACT_BELOW * self.num_rows:
            self._keep(sources)
            sizes = [batch.rows.numel() for batch in self.batches]
            for batch, new_rows in zip(self.batches, place.split(sizes), strict=True):
                batch.move_to(new_rows.view_as(batch.rows))
            self.tokens = tokens
        else:
            self.tokens[sources] = tokens

    def _keep(self, rows: Tensor) -> None:
        """Keep these rows, ascending, and no others; a row named twice is forked."""
        first = 0
        for row_group in self.row_groups:
            last = first + len(row_group)
            row_group.keep(rows[(first <= rows) & (rows < last)] - first)
            first = last
        self.row_groups = [row_group for row_group in self.row_groups if len(row_group)]
        self.positions = self.positions[rows]

    def generations(self) -> dict[Ensemble, Generation]:
        """Read what each ensemble generated from the device."""
        return dict(zip(self.ensembles, self.output.read(), strict=True))

"""The picture of a mask as data: tokens, groups, who sees whom. Knows no terminal and no file."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from common.visibility import Table
from producer.mask.packing import Packed
from producer.mask.sparsity import causal, sparsity_line


@dataclass(frozen=True)
class Caption:
    """Which sample the picture is of, by which method, for which model."""

    dataset: str
    uuid: str
    model: str
    method: str


@dataclass(frozen=True)
class Span:
    """The tokens [first, stop) of one group that has any."""

    group: int
    name: str
    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class MaskPicture:
    """One packed prompt of T tokens under its table.

    labels: each token, readable. notes: what a reader must know besides.
    """

    caption: Caption
    packed: Packed
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def mask(self) -> Table:
        """Which token (row) sees which (column), in the order of the prompt; bool [T, T].

        The engine's two rules: a token sees no later one, and of the others those whose group
        the table lets its own group see.
        """
        group = np.array(self.packed.prompt.group_ids)
        seen: Table = self.packed.table[group[:, None], group[None, :]]
        return causal(len(group)) & seen

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where each group lies, [first, stop); groups without tokens are left out.

        Groups of 0, 2 and 1 tokens: (1, "paraphrase 0", 0, 2), (2, "tail", 2, 3).
        """
        groups = self.packed.prompt.groups
        stops = accumulate(len(tokens) for tokens in groups)
        rows = enumerate(zip(self.packed.names, groups, stops, strict=True))
        return tuple(
            Span(g, name, stop - len(tokens), stop) for g, (name, tokens, stop) in rows if tokens
        )

    def seen_by(self, reader: Span) -> tuple[Span, ...]:
        """The spans of which a span's tokens see something, their own included."""
        table = self.packed.table
        return tuple(
            s for s in self.spans[: self.spans.index(reader) + 1] if table[reader.group, s.group]
        )

    def headings(self) -> tuple[str, ...]:
        """The lines that stand over the picture."""
        packed, caption = self.packed, self.caption
        layout = f"{packed.layout}, {packed.positions}" if packed.layout else "plain prompt"
        return (
            f"{caption.dataset}, sample {caption.uuid}",
            f"{caption.method}, {layout}, {caption.model}, {len(self.labels)} tokens",
            sparsity_line(self.mask),
        )

"""A mask cut into cells of several tokens, so that it fits where it is drawn.

A cell lies within one group each way, so boundaries stay exact at every scale.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.visibility import Table
from producer.mask.picture import MaskPicture, Span, causal


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a picture, `scale` tokens wide; the last of a group may hold fewer."""

    picture: MaskPicture
    scale: int

    def cells(self, span: Span) -> list[range]:
        """The tokens of each cell of a span.

        >>> Grid(None, 3).cells(Span(1, "paraphrase 0", 4, 9))
        [range(4, 7), range(7, 9)]
        """
        starts = range(span.first, span.stop, self.scale)
        return [range(start, min(start + self.scale, span.stop)) for start in starts]

    @cached_property
    def columns(self) -> tuple[list[range], ...]:
        """The cells of every span."""
        return tuple(self.cells(span) for span in self.picture.spans)

    @property
    def width(self) -> int:
        """Cells in a row, and a line between groups."""
        return sum(map(len, self.columns)) + len(self.columns) - 1

    @cached_property
    def seen(self) -> Table:
        """For each pair of cells whether a token of the first sees one of the second; bool."""
        return self._pooled(self.picture.mask)

    @cached_property
    def earlier(self) -> Table:
        """The same for a causal mask."""
        return self._pooled(causal(len(self.picture.labels)))

    def _pooled(self, mask: Table) -> Table:
        starts = [cell.start for cells in self.columns for cell in cells]
        pooled = np.logical_or.reduceat(np.logical_or.reduceat(mask, starts, 0), starts, 1)
        return np.asarray(pooled, dtype=bool)


def fit(picture: MaskPicture, width: int) -> Grid | None:
    """The finest grid at most `width` cells wide, None where even one cell a group is more."""
    coarsest = max(span.stop - span.first for span in picture.spans)
    grids = (Grid(picture, scale) for scale in range(1, coarsest + 1))
    return next((grid for grid in grids if grid.width <= width), None)

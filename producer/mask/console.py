"""Draw a mask in a terminal: half blocks, two rows of cells a line, with or without colour.

A cell is one token or several, so that the mask fits the width, and never crosses the boundary of
a group. A terminal that does not take UTF-8 gets ASCII characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import rich.table
from rich.console import Console
from rich.text import Text

from common.visibility import Table
from producer.mask.picture import MaskPicture, Span, causal, group_colours

_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_HIDDEN = "░"
_IN_ASCII = str.maketrans(
    {"▀": "'", "▄": ".", "█": "#", _HIDDEN: "-", "│": "|", "─": "-", "┼": "+"}
)
_LABELS = 24
"""Characters at the left of a row: its first slot, then its tokens."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A picture in cells of `scale` tokens; the last cell of a group may have fewer."""

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
        """Characters in a row: its cells, and one line between two groups."""
        return sum(map(len, self.columns)) + len(self.columns) - 1

    @cached_property
    def seen(self) -> Table:
        """Whether any token of a cell (row) sees any token of a cell (column); bool."""
        return self._pooled(self.picture.mask)

    @cached_property
    def earlier(self) -> Table:
        """Whether it would under a causal mask; bool, shaped like `seen`."""
        return self._pooled(causal(len(self.picture.labels)))

    def _pooled(self, mask: Table) -> Table:
        starts = [cell.start for cells in self.columns for cell in cells]
        pooled = np.logical_or.reduceat(np.logical_or.reduceat(mask, starts, 0), starts, 1)
        return np.asarray(pooled, dtype=bool)


def fit(picture: MaskPicture, width: int) -> Grid | None:
    """The finest grid of at most `width` characters. None if one cell per group is too wide."""
    coarsest = max(span.stop - span.first for span in picture.spans)
    grids = (Grid(picture, scale) for scale in range(1, coarsest + 1))
    return next((grid for grid in grids if grid.width <= width), None)


def print_mask(picture: MaskPicture, console: Console) -> None:
    """Print headings, the table of groups, the mask and the notes."""
    for line in picture.headings():
        console.print(Text(line))
    console.print(groups_table(picture))
    grid = fit(picture, console.width - _LABELS)
    if grid is None:
        console.print(
            Text(
                f"{len(picture.spans)} groups do not fit into {console.width} columns; "
                "--png FILE draws them"
            )
        )
    else:
        _print_grid(grid, console)
    for note in picture.notes:
        console.print(Text(f"note: {note}"))


def _print_grid(grid: Grid, console: Console) -> None:
    for row in token_rows(grid):
        row.rstrip()
        if console.options.ascii_only:
            row.plain = row.plain.translate(_IN_ASCII)
        console.print(row, no_wrap=True, overflow="ignore", crop=False)
    console.print(Text(_legend(grid, console.options.ascii_only)))


def groups_table(picture: MaskPicture) -> rich.table.Table:
    """One row per group: number of tokens, slots, positions, the groups it sees."""
    table = rich.table.Table()
    for heading in ("group", "tokens", "slots", "positions", "sees"):
        table.add_column(heading, justify="left" if heading in ("group", "sees") else "right")
    colours, positions = group_colours(len(picture.packed.names)), picture.packed.prompt.positions
    for span in picture.spans:
        last = span.stop - 1
        seen = picture.seen_by(span)
        everything = len(seen) == picture.spans.index(span) + 1 > 2
        table.add_row(
            Text(span.name, style=colours[span.group]),
            str(span.stop - span.first),
            f"{span.first}-{last}",
            f"{positions[span.first]}-{positions[last]}",
            "all before" if everything else ", ".join(s.name for s in seen),
        )
    return table


def token_rows(grid: Grid) -> Iterator[Text]:
    """The header, then for each group a line with its name and its rows of cells."""
    colours = group_colours(len(grid.picture.packed.names))
    yield _header(grid, colours)
    first = 0
    for span, cells in zip(grid.picture.spans, grid.columns, strict=True):
        yield _rule(grid, span, colours)
        for upper in range(0, len(cells), 2):
            row = Text(_row_label(grid.picture, cells[upper : upper + 2]))
            yield row + _row_cells(grid, first + upper, len(cells) - upper > 1, colours)
        first += len(cells)


def _header(grid: Grid, colours: list[str]) -> Text:
    cells = [
        Text(_fitted(span.name, len(columns)), style=colours[span.group])
        for span, columns in zip(grid.picture.spans, grid.columns, strict=True)
    ]
    return Text(" " * _LABELS) + Text("│").join(cells)


def _fitted(name: str, width: int) -> str:
    """A group's name, its number or its initial, padded to `width`; blank if none fits.

    >>> _fitted("paraphrase 12", 14), _fitted("paraphrase 12", 4), _fitted("paraphrase 12", 1)
    ('paraphrase 12 ', '12  ', ' ')
    """
    short = name.split()[-1] if name[-1].isdigit() else name[0]
    shown = next((text for text in (name, short) if len(text) <= width), "")
    return shown.ljust(width)


def _rule(grid: Grid, span: Span, colours: list[str]) -> Text:
    name = Text(f"── {span.name} ".ljust(_LABELS, "─"), style=colours[span.group])
    return name + Text("┼".join("─" * len(columns) for columns in grid.columns))


def _row_label(picture: MaskPicture, cells: list[range]) -> str:
    tokens = range(cells[0].start, cells[-1].stop)
    text = Text(f"{tokens.start:>4} " + " ".join(picture.labels[t] for t in tokens))
    text.truncate(_LABELS - 1, overflow="ellipsis", pad=True)
    return f"{text.plain} "


def _row_cells(grid: Grid, upper: int, has_lower: bool, colours: list[str]) -> Text:
    row, first = [], 0
    for span, columns in zip(grid.picture.spans, grid.columns, strict=True):
        part = Text()
        for column in range(first, first + len(columns)):
            sign = _sign(grid, upper, has_lower, column)
            part.append(sign, style="dim" if sign == _HIDDEN else colours[span.group])
        row.append(part)
        first += len(columns)
    return Text("│").join(row)


def _sign(grid: Grid, upper: int, has_lower: bool, column: int) -> str:
    rows = slice(upper, upper + 1 + has_lower)
    seen = [int(value) for value in grid.seen[rows, column]]
    if not any(seen) and grid.earlier[rows, column].any():
        return _HIDDEN
    return _HALVES[seen[0], seen[-1] if has_lower else 0]


def _legend(grid: Grid, in_ascii: bool) -> str:
    cell = f"1 cell = {grid.scale}x{grid.scale} tokens, 2 cells a character"
    filled = ", filled if any pair of it is seen" if grid.scale > 1 else ""
    legend = f"{cell}{filled}; rows read columns; {_HIDDEN} earlier, not seen"
    return (
        f"{legend}; # both, ' the upper, . the lower".replace(_HIDDEN, "-") if in_ascii else legend
    )

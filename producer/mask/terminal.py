"""The picture in a terminal: half blocks, two cells a character, with or without colour.

Where the terminal does not take UTF-8 other characters stand for them.
"""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.mask.grid import Grid, fit
from producer.mask.picture import MaskPicture, Span, group_colours

_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_HIDDEN = "░"
_IN_ASCII = str.maketrans(
    {"▀": "'", "▄": ".", "█": "#", _HIDDEN: "-", "│": "|", "─": "-", "┼": "+"}
)
"""For terminals that do not take UTF-8."""
_LABELS = 24
"""Characters down the left side: slot, then the row's tokens."""


def print_mask(picture: MaskPicture, console: Console) -> None:
    """Headings, groups, tokens, notes."""
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
        for row in token_rows(grid):
            row.rstrip()
            if console.options.ascii_only:
                row.plain = row.plain.translate(_IN_ASCII)
            console.print(row, no_wrap=True, overflow="ignore", crop=False)
        console.print(Text(_legend(grid, console.options.ascii_only)))
    for note in picture.notes:
        console.print(Text(f"note: {note}"))


def groups_table(picture: MaskPicture) -> Table:
    """One line for each group: its tokens, where they stand, what they see."""
    table = Table()
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
    """A group's name, its number or its initial, in so many cells; blank where none fits.

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

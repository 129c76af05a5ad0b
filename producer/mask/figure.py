"""Draw a mask as an image: cells, boundaries, names of groups, tokens. And write it as a PNG.

Needs no display, and gives the same bytes for the same picture.
"""

import importlib.util
import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import UsageError
from producer.mask.picture import HIDDEN_COLOUR, MaskPicture, causal, group_colours
from producer.saving import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
MAX_TOKENS = 4096
LABELLED = 320
"""Rows and columns have labels up to this many tokens; more would be too small to read."""

_FONT = "DejaVu Sans Mono"
"""Comes with matplotlib, so a picture looks the same on every machine."""

_MAX_LABEL = 18
_LABEL_CHARACTER = 6
_POSITION = 6 * _LABEL_CHARACTER
_CELL = 13
_SIDE = 1600
_MARGIN = 24
_NARROWEST = 780


def check_png(path: Path) -> None:
    """Raise UsageError if no image can be written to `path`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--png needs matplotlib; pip install 'self-ensemble[report]'")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--png {path}: the name must end in .png")
    if not path.parent.is_dir():
        raise UsageError(f"--png {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"--png {path} is a folder; name a file")


def write_png(picture: MaskPicture, path: Path) -> None:
    """Write the whole image to `path`, or leave the old file as it is."""
    save(path, render_png(picture))


def render_png(picture: MaskPicture) -> bytes:
    """The bytes of the image. Raises UsageError for a prompt of more than MAX_TOKENS tokens."""
    import matplotlib

    if len(picture.labels) > MAX_TOKENS:
        raise UsageError(
            f"--png: the prompt has {len(picture.labels)} tokens, an image holds at most "
            f"{MAX_TOKENS}; ask for less with --num-paraphrases or --num-few-shot"
        )
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Without the name and version of matplotlib, which would change the bytes.
        mask_figure(picture).savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Frame:
    """The square of cells and the margins around it, in pixels.

    tokens: cells along each side. cell: side of one cell, a whole number. points: font size of
    headings, names and notes. left, right, top, bottom: margins.
    """

    tokens: int
    cell: int
    points: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def side(self) -> int:
        return self.tokens * self.cell

    @property
    def width(self) -> int:
        return self.left + self.side + self.right

    @property
    def height(self) -> int:
        return self.top + self.side + self.bottom

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return 2 * self.points

    @property
    def columns(self) -> int:
        """Characters of text in a line as wide as the image."""
        return (self.width - self.line) // _character(self.points)

    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of the square, as shares of the image."""
        w, h = self.width, self.height
        return self.left / w, self.bottom / h, self.side / w, self.side / h

    def pixel(self, query: int, key: int) -> tuple[int, int]:
        """The middle (x, y) of the cell of a pair, counted from the upper left corner.

        >>> Frame(3, cell=13, points=8, left=20, right=5, top=40, bottom=5).pixel(2, 0)
        (26, 72)
        """
        middle = self.cell // 2
        return self.left + key * self.cell + middle, self.top + query * self.cell + middle


def frame_of(
    picture: MaskPicture, labels: Sequence[str], heading_lines: int = 0, note_lines: int = 0
) -> Frame:
    """The frame with room for labels (if any), names of groups, headings and notes."""
    tokens = len(picture.labels)
    cell = _CELL if labels else max(1, _SIDE // tokens)
    points = max(8, tokens * cell // 200)
    name = max(len(span.name) for span in picture.spans) * _character(points)
    label = max(map(len, labels), default=0) * _LABEL_CHARACTER
    left = _MARGIN + label + (_POSITION if labels else 0)
    right = max(_MARGIN + name, _NARROWEST - left - tokens * cell)
    top = _MARGIN + heading_lines * 2 * points + name
    bottom = _MARGIN + label + note_lines * 2 * points
    return Frame(tokens, cell, points, left, right, top, bottom)


def _character(points: int) -> int:
    """Width in pixels of a monospaced character at 100 pixels an inch, rounded up.

    >>> _character(8)
    7
    """
    return -(-points * 100 * 61 // 7200)


def mask_figure(picture: MaskPicture) -> "Figure":
    """Rows read columns; a cell that is seen has the colour of the group that is read."""
    from matplotlib.figure import Figure

    labels = token_labels(picture)
    columns = frame_of(picture, labels).columns
    legend = "rows read columns; light grey: earlier, but not seen"
    legend += "; numbers: positions" if labels else ""
    above = _wrapped(picture.headings(), columns)
    below = _wrapped((legend, *picture.notes), columns)
    frame = frame_of(picture, labels, len(above), len(below))
    size = (frame.width / DPI, frame.height / DPI)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    axes = figure.add_axes(frame.box())
    axes.imshow(cell_colours(picture), interpolation="nearest", aspect="auto")
    _draw_groups(axes, picture, frame)
    _draw_labels(axes, picture, labels)
    _draw_text(figure, frame, above, frame.height - frame.line)
    _draw_text(figure, frame, below, len(below) * frame.line)
    return figure


def cell_colours(picture: MaskPicture) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The colour of every pair, uint8 [T, T, 3]; white where the key is later than the query."""
    by_group = np.array([_rgb(c) for c in group_colours(len(picture.packed.names))])
    by_key = by_group[list(picture.packed.prompt.group_ids)]
    earlier = causal(len(picture.labels))[..., None]
    unseen = np.where(earlier, _rgb(HIDDEN_COLOUR), _rgb("#ffffff"))
    return np.where(picture.mask[..., None], by_key[None, :], unseen)


def _rgb(colour: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)


def _draw_groups(axes: "Axes", picture: MaskPicture, frame: Frame) -> None:
    colours = group_colours(len(picture.packed.names))
    style: dict[str, Any] = {"fontsize": frame.points, "family": _FONT}
    style["textcoords"] = "offset points"
    for span in picture.spans:
        if span.first:
            axes.axhline(span.first - 0.5, color="black", linewidth=0.7)
            axes.axvline(span.first - 0.5, color="black", linewidth=0.7)
        style["color"] = colours[span.group]
        middle = (span.first + span.stop - 1) / 2
        axes.annotate(span.name, (middle, -0.5), (0, 4), rotation=45, **style)
        axes.annotate(span.name, (frame.tokens - 0.5, middle), (6, 0), va="center", **style)


def token_labels(picture: MaskPicture) -> list[str]:
    """The labels of rows and columns; none for a prompt of more than LABELLED tokens."""
    return [_cut(drawable(t)) for t in picture.labels] if len(picture.labels) <= LABELLED else []


def _draw_labels(axes: "Axes", picture: MaskPicture, labels: Sequence[str]) -> None:
    rows = zip(labels, picture.packed.prompt.positions, strict=False)
    style: dict[str, Any] = {"fontsize": 7, "family": _FONT, "parse_math": False}
    axes.tick_params(length=0, pad=2)
    axes.set_xticks(range(len(labels)), labels, rotation=90, **style)
    axes.set_yticks(range(len(labels)), [f"{label} {p:>4}" for label, p in rows], **style)


def _draw_text(figure: "Figure", frame: Frame, lines: Sequence[str], top: int) -> None:
    style: dict[str, Any] = {"fontsize": frame.points, "family": _FONT, "parse_math": False}
    x = frame.line / 2 / frame.width
    for number, line in enumerate(lines):
        y = (top - number * frame.line) / frame.height
        figure.text(x, y, line, va="center", **style)


def _wrapped(lines: Iterable[str], columns: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(drawable(line), columns)]


def _cut(label: str) -> str:
    """A label cut to _MAX_LABEL characters.

    >>> _cut("<|reserved_special_token_7|>")
    '<|reserved_specia…'
    """
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def drawable(text: str) -> str:
    """The text with escapes for characters that the font would draw as boxes.

    >>> drawable("·who ⏎ 日")
    '·who ⏎ \\\\u65e5'
    """
    known = _known_signs()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


@cache
def _known_signs() -> frozenset[int]:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(_FONT))
    return frozenset(font.get_charmap())

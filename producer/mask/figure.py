"""The picture as a matplotlib figure: cells, boundaries, names, tokens. Writes no file."""

import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from producer.mask.frame import LABELLED, MAX_LABEL, Frame, frame_of
from producer.mask.picture import HIDDEN_COLOUR, MaskPicture, causal, group_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
_FONT = "DejaVu Sans Mono"
"""Comes with matplotlib, so a picture is the same wherever it is drawn."""


def mask_figure(picture: MaskPicture) -> "Figure":
    """Rows read columns; a pair that is seen has the colour of the group that is read."""
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
    """The colour of every pair, uint8 [T, T, 3]; white where the key is later."""
    of_group = np.array([_rgb(c) for c in group_colours(len(picture.packed.names))])
    of_key = of_group[list(picture.packed.prompt.group_ids)]
    earlier = causal(len(picture.labels))[..., None]
    unseen = np.where(earlier, _rgb(HIDDEN_COLOUR), _rgb("#ffffff"))
    return np.where(picture.mask[..., None], of_key[None, :], unseen)


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
    """What stands beside each row and column; nothing where there are too many to read."""
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
    """A label in the room there is.

    >>> _cut("<|reserved_special_token_7|>")
    '<|reserved_specia…'
    """
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"


def drawable(text: str) -> str:
    """The text with escapes for signs that the font lacks, which it would draw as boxes.

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

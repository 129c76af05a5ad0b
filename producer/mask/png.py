"""The picture as a PNG: matplotlib's Agg canvas, no display, the same bytes for the same mask."""

import importlib.util
import io
import os
import textwrap
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import UsageError
from producer.mask.frame import LINE, MAX_LABEL, Frame, frame_of, text_columns
from producer.mask.palette import HIDDEN, group_colours
from producer.mask.picture import MaskPicture
from producer.mask.sparsity import causal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TOKENS = 4096
_DPI = 100
_FONT = "DejaVu Sans Mono"
_SMALL, _LARGE = 7, 8


def check_png(path: Path) -> None:
    """Raise UsageError where no image can be written to `path`."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--png needs matplotlib; pip install 'self-ensemble[report]'")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--png {path}: the name must end in .png")
    if not path.parent.is_dir():
        raise UsageError(f"--png {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"--png {path} is a folder; name a file")


def write_png(picture: MaskPicture, path: Path) -> None:
    """Write the image whole or not at all."""
    unfinished = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.tmp")
    try:
        unfinished.write_bytes(render_png(picture))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def render_png(picture: MaskPicture) -> bytes:
    """The bytes of the image: rows read columns, a colour for the group that is read.

    Grey is earlier but not seen. Raises UsageError for a prompt of more than MAX_TOKENS.
    """
    import matplotlib

    if len(picture.labels) > MAX_TOKENS:
        raise UsageError(
            f"--png: the prompt has {len(picture.labels)} tokens, an image holds at most "
            f"{MAX_TOKENS}; ask for less with --num-paraphrases or --num-few-shot"
        )
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = _figure(picture)
        # Without its name and version in the file, which would change the bytes.
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _figure(picture: MaskPicture) -> "Figure":
    from matplotlib.figure import Figure

    columns = text_columns(picture)
    above = _wrapped(picture.headings(), columns)
    grey = "grey: earlier, but not seen; rows read columns, numbers are positions"
    below = _wrapped((grey, *picture.notes), columns)
    frame = frame_of(picture, len(above), len(below))
    size = (frame.width / _DPI, frame.height / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    axes = figure.add_axes(frame.box())
    axes.imshow(cell_colours(picture), interpolation="nearest", aspect="auto")
    _boundaries(axes, picture)
    _token_labels(axes, picture, frame)
    _text(figure, frame, above, frame.height - LINE)
    _text(figure, frame, below, len(below) * LINE)
    return figure


def cell_colours(picture: MaskPicture) -> Any:
    """The colour of every pair, uint8 [T, T, 3]: of the group read, grey, or white if later."""
    from matplotlib.colors import to_rgb

    def rgb(colours: list[str]) -> Any:
        return np.array([to_rgb(colour) for colour in colours])

    of_key = rgb(group_colours(len(picture.packed.names)))[list(picture.packed.prompt.group_ids)]
    earlier = causal(len(picture.labels))[..., None]
    hidden = np.where(earlier, rgb([HIDDEN])[0], 1.0)
    shown = np.where(picture.mask[..., None], of_key[None, :], hidden)
    return (255 * shown).round().astype(np.uint8)


def _boundaries(axes: "Axes", picture: MaskPicture) -> None:
    colours = group_colours(len(picture.packed.names))
    end = len(picture.labels)
    for span in picture.spans:
        if span.first:
            axes.axhline(span.first - 0.5, color="black", linewidth=0.7)
            axes.axvline(span.first - 0.5, color="black", linewidth=0.7)
        middle, colour = (span.first + span.stop - 1) / 2, colours[span.group]
        axes.annotate(
            span.name, (middle, -0.5), (0, 4), textcoords="offset points", rotation=45,
            fontsize=_LARGE, family=_FONT, color=colour,
        )  # fmt: skip
        axes.annotate(
            span.name, (end - 0.5, middle), (6, 0), textcoords="offset points", va="center",
            fontsize=_LARGE, family=_FONT, color=colour,
        )  # fmt: skip


def _token_labels(axes: "Axes", picture: MaskPicture, frame: Frame) -> None:
    axes.tick_params(length=0, pad=2)
    if not frame.labelled:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    short = [drawable(_cut(label)) for label in picture.labels]
    rows = zip(short, picture.packed.prompt.positions, strict=True)
    style: dict[str, Any] = {"fontsize": _SMALL, "family": _FONT, "parse_math": False}
    axes.set_xticks(range(frame.tokens), short, rotation=90, **style)
    axes.set_yticks(range(frame.tokens), [f"{s} {p:>4}" for s, p in rows], **style)


def _text(figure: "Figure", frame: Frame, lines: list[str], top: int) -> None:
    for number, line in enumerate(lines):
        figure.text(
            LINE / frame.width, (top - number * LINE) / frame.height, drawable(line), va="center",
            fontsize=_LARGE, family=_FONT, parse_math=False,
        )  # fmt: skip


def _wrapped(lines: tuple[str, ...], columns: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, columns)]


def _cut(label: str) -> str:
    """A label in the room there is.

    >>> _cut("<|reserved_special_token_7|>")
    '<|reserved_specia…'
    """
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"


def drawable(text: str) -> str:
    """The text with escapes for signs that the font lacks: a box tells nobody anything.

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

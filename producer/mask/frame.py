"""Where things lie in the image of a mask, in pixels: a cell is a whole number of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from producer.mask.picture import MaskPicture

LABELLED = 320
"""Most tokens whose labels stand at both sides; of more they could not be read."""

MAX_LABEL = 18
_LABEL_CHARACTER = 6
_POSITION = 6 * _LABEL_CHARACTER
_CELL = 13
_SIDE = 1600
_MARGIN = 24
_NARROWEST = 780


@dataclass(frozen=True)
class Frame:
    """The square of cells and the room around it, in pixels.

    cell: side of a token pair's square. points: size of headings, names and notes. left, right,
    top, bottom: margins.
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
        """Characters of text that fit beside each other over the whole image."""
        return (self.width - self.line) // character(self.points)

    def box(self) -> tuple[float, float, float, float]:
        """The square as left, bottom, width and height, in shares of the image."""
        w, h = self.width, self.height
        return self.left / w, self.bottom / h, self.side / w, self.side / h

    def pixel(self, query: int, key: int) -> tuple[int, int]:
        """The middle of a pair's square as (x, y), from the upper left corner.

        >>> Frame(3, cell=13, points=8, left=20, right=5, top=40, bottom=5).pixel(2, 0)
        (26, 72)
        """
        middle = self.cell // 2
        return self.left + key * self.cell + middle, self.top + query * self.cell + middle


def character(points: int) -> int:
    """Width in pixels of a monospaced character at 100 pixels an inch, rounded up.

    >>> character(8)
    7
    """
    return -(-points * 100 * 61 // 7200)


def frame_of(
    picture: MaskPicture, labels: Sequence[str], heading_lines: int = 0, note_lines: int = 0
) -> Frame:
    """Room for the labels (if there are any), the names and so many lines of text."""
    tokens = len(picture.labels)
    cell = _CELL if labels else max(1, _SIDE // tokens)
    points = max(8, tokens * cell // 200)
    name = max(len(span.name) for span in picture.spans) * character(points)
    label = max(map(len, labels), default=0) * _LABEL_CHARACTER
    left = _MARGIN + label + (_POSITION if labels else 0)
    right = max(_MARGIN + name, _NARROWEST - left - tokens * cell)
    top = _MARGIN + heading_lines * 2 * points + name
    bottom = _MARGIN + label + note_lines * 2 * points
    return Frame(tokens, cell, points, left, right, top, bottom)

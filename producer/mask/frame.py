"""Where things lie in the image of a mask, in pixels: a cell is a whole number of them."""

from dataclasses import dataclass

from producer.mask.picture import MaskPicture

LABELLED = 320
"""Most tokens whose labels stand at both sides; of more they could not be read."""

MAX_LABEL = 18
CHARACTER = 6
LINE = 16
_CELL = 13
_SIDE = 2400
_MARGIN = 24
_NARROWEST = 780


@dataclass(frozen=True)
class Frame:
    """The square of cells and the room around it, in pixels.

    cell: side of a token pair's square. left, right, top, bottom: margins.
    """

    tokens: int
    cell: int
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
    def labelled(self) -> bool:
        return self.tokens <= LABELLED

    def box(self) -> tuple[float, float, float, float]:
        """The square as left, bottom, width and height, in shares of the image."""
        w, h = self.width, self.height
        return self.left / w, self.bottom / h, self.side / w, self.side / h

    def pixel(self, query: int, key: int) -> tuple[int, int]:
        """The middle of a pair's square as (x, y), from the upper left corner.

        >>> Frame(tokens=3, cell=13, left=20, right=5, top=40, bottom=5).pixel(2, 0)
        (26, 72)
        """
        middle = self.cell // 2
        return self.left + key * self.cell + middle, self.top + query * self.cell + middle


def frame_of(picture: MaskPicture, heading_lines: int, note_lines: int) -> Frame:
    """Room for the labels, the names and the text of a picture."""
    tokens = len(picture.labels)
    labelled = tokens <= LABELLED
    name = max(len(span.name) for span in picture.spans) * (CHARACTER + 1)
    label = min(MAX_LABEL, max(map(len, picture.labels))) * CHARACTER if labelled else 0
    cell = _CELL if labelled else max(1, _SIDE // tokens)
    left = _MARGIN + label + (6 * CHARACTER if labelled else 0)
    right = max(_MARGIN + name, _NARROWEST - left - tokens * cell)
    return Frame(
        tokens,
        cell,
        left,
        right,
        top=_MARGIN + heading_lines * LINE + name,
        bottom=_MARGIN + label + note_lines * LINE,
    )


def text_columns(picture: MaskPicture) -> int:
    """How many characters fit beside each other over the whole image."""
    frame = frame_of(picture, 0, 0)
    return (frame.width - 2 * _MARGIN) // (CHARACTER + 1)

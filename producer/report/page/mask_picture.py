"""Pictures of masks at the level of groups: who sees whom in a packed prompt.

Drawn from `common.visibility`, the tables the engine makes its masks of. Knows neither tokens
nor HTML: a picture is cells, labels and the same in words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from common.methods import METHODS, Visibility
from common.visibility import VISIBILITIES
from producer.report.document import RunReport
from producer.report.formatting import listed

SIDE = 240
LARGEST_CELL = 28
MOST_LABELS = 12

_SELECTION = re.compile(r"-m(\d+)a\d+s\d+")

_PACKED = {
    "concat": "Whole prompts back to back. The prefix is the beginning-of-sequence token alone, "
    "where the model has one; the answer begins with the last token of the last prompt.",
    "shared": "The prefix is the instruction and the examples, once; each paraphrase follows it "
    "as a segment; the answer begins with the cue.",
}
_POSITIONS = {
    "sequential": "Positions count through.",
    "aligned": "Every paraphrase starts at the same position, right after the prefix.",
}


class Cell(NamedTuple):
    """One query group (row) and one key group (column) of the picture.

    "self" is seen up to the token itself, "seen" whole, "unseen" not at all.
    """

    row: int
    column: int
    kind: Literal["self", "seen", "unseen"]


@dataclass(frozen=True)
class MaskPicture:
    """One mask, the runs that have it, its cells and what they say. Lengths in SVG units."""

    runs: tuple[str, ...]
    title: str
    caption: str
    labels: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def cell(self) -> float:
        return min(LARGEST_CELL, SIDE / len(self.labels))

    @property
    def label_step(self) -> int:
        """Of many groups every n-th is labelled, so that labels do not lie on each other."""
        return -(-len(self.labels) // MOST_LABELS)

    @property
    def words(self) -> str:
        """The picture for those who do not see it."""
        return f"{self.title}. " + "; ".join(map(self._row_in_words, range(len(self.labels))))

    def _row_in_words(self, row: int) -> str:
        seen = [c.column for c in self.cells if c.row == row and c.kind == "seen"]
        return f"{self.labels[row]} sees {listed([*(self.labels[c] for c in seen), 'itself'])}"


class _Mask(NamedTuple):
    """What decides a picture; runs that agree in it share one."""

    visibility: Visibility
    num_segments: int
    num_manual: int
    title: str
    caption: str


def mask_pictures(runs: Sequence[RunReport]) -> list[MaskPicture]:
    """Every distinct mask among the runs, in their order."""
    users: dict[_Mask, list[str]] = {}
    for run in runs:
        users.setdefault(_mask_of(run), []).append(run.run)
    return [
        MaskPicture(tuple(names), mask.title, mask.caption, _labels(mask), group_cells(*mask[:3]))
        for mask, names in users.items()
    ]


def group_cells(visibility: Visibility, num_segments: int, num_manual: int) -> tuple[Cell, ...]:
    """The cells of a mask, row by row: `causal & visible`, as the engine has it.

    >>> [cell.kind for cell in group_cells("isolated", 1, 0)][:6]
    ['self', 'unseen', 'unseen', 'seen', 'self', 'unseen']
    """
    table = VISIBILITIES[visibility](num_segments, num_manual)
    cells: list[Cell] = []
    for row, column in ((r, c) for r in range(len(table)) for c in range(len(table))):
        if column > row or not table[row, column]:
            cells.append(Cell(row, column, "unseen"))
        else:
            cells.append(Cell(row, column, "self" if row == column else "seen"))
    return tuple(cells)


def _mask_of(run: RunReport) -> _Mask:
    method = METHODS[run.method]
    if not method.has_layout or run.num_paraphrases == 1:
        caption = (
            "Each sequence is the plain prompt of one paraphrase: every token sees all before it."
        )
        return _Mask("causal", 1, 0, "plain prompt", caption)
    num_manual, said = 0, ""
    if method.visibility == "cross_manual":
        num_manual, said = _manual_of(run)
    caption = f"{_PACKED.get(run.layout or '', '')} {_POSITIONS.get(run.positions or '', '')}"
    if method.length_corrected:
        said += " The answer weighs paraphrases alike, however long they are."
    parts = [method.visibility.replace("_", " "), run.layout, run.positions]
    parts += ["length-corrected"] if method.length_corrected else []
    title = ", ".join(part for part in parts if part)
    return _Mask(
        method.visibility, run.num_paraphrases, num_manual, title, (caption + said).strip()
    )


def _manual_of(run: RunReport) -> tuple[int, str]:
    """How many paraphrases are manual: samples differ, so as many as were asked for, or half."""
    named = _SELECTION.search(run.run)
    if named:
        count = min(int(named[1]), run.num_paraphrases)
        return count, f" Drawn for {count} manual paraphrases, as the run asked for."
    count = run.num_paraphrases // 2
    return count, f" Drawn as an example in which the first {count} paraphrases are manual."


def _labels(mask: _Mask) -> tuple[str, ...]:
    if mask.title == "plain prompt":
        return ("prefix", "paraphrase", "answer")
    return ("prefix", *(f"paraphrase {n}" for n in range(mask.num_segments)), "answer")

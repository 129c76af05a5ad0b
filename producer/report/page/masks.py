"""Pictures of masks at the level of groups: which segment of a packed prompt sees which.

Drawn from `common.visibility`, the tables that the engine reads. A picture is cells, labels and
a description in words; it knows neither tokens nor HTML.
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

    kind: "self" if a token sees the group up to itself, "seen" if it sees the whole group.
    """

    row: int
    column: int
    kind: Literal["self", "seen", "unseen"]


@dataclass(frozen=True)
class GroupPicture:
    """One mask and the runs that have it. Lengths are in SVG units."""

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
        """Every n-th group has a label, so that labels do not overlap."""
        return -(-len(self.labels) // MOST_LABELS)

    @property
    def words(self) -> str:
        """The picture in words, for screen readers."""
        return f"{self.title}. " + "; ".join(map(self._row_in_words, range(len(self.labels))))

    def _row_in_words(self, row: int) -> str:
        seen = [c.column for c in self.cells if c.row == row and c.kind == "seen"]
        return f"{self.labels[row]} sees {listed([*(self.labels[c] for c in seen), 'itself'])}"


class _Mask(NamedTuple):
    """Everything that decides a picture; runs with equal masks share one."""

    visibility: Visibility
    num_segments: int
    num_manual: int
    title: str
    caption: str


def mask_pictures(runs: Sequence[RunReport]) -> list[GroupPicture]:
    """A picture of every distinct mask, in the order of the runs."""
    users: dict[_Mask, list[str]] = {}
    for run in runs:
        users.setdefault(_mask_of(run), []).append(run.run)
    return [
        GroupPicture(tuple(names), mask.title, mask.caption, _labels(mask), group_cells(*mask[:3]))
        for mask, names in users.items()
    ]


def group_cells(visibility: Visibility, num_segments: int, num_manual: int) -> tuple[Cell, ...]:
    """The cells of a mask, row by row: `causal & visible`, as in the engine.

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
    num_manual, remark = 0, ""
    if method.visibility == "cross_manual":
        num_manual, remark = _manual_of(run)
    caption = f"{_PACKED.get(run.layout or '', '')} {_POSITIONS.get(run.positions or '', '')}"
    if method.length_corrected:
        remark += " The answer weighs paraphrases alike, however long they are."
    parts = [method.visibility.replace("_", " "), run.layout, run.positions]
    parts += ["length-corrected"] if method.length_corrected else []
    title = ", ".join(part for part in parts if part)
    return _Mask(
        method.visibility, run.num_paraphrases, num_manual, title, (caption + remark).strip()
    )


def _manual_of(run: RunReport) -> tuple[int, str]:
    """Number of paraphrases drawn as manual, and a remark on that number.

    Samples differ, so it is the number in the run's selection, or half of the paraphrases.
    """
    selection = _SELECTION.search(run.run)
    if selection:
        count = min(int(selection[1]), run.num_paraphrases)
        return count, f" Drawn for {count} manual paraphrases, as the run asked for."
    count = run.num_paraphrases // 2
    return count, f" Drawn as an example in which the first {count} paraphrases are manual."


def _labels(mask: _Mask) -> tuple[str, ...]:
    if mask.title == "plain prompt":
        return ("prefix", "paraphrase", "answer")
    return ("prefix", *(f"paraphrase {n}" for n in range(mask.num_segments)), "answer")

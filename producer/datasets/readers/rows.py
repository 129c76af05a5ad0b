"""One row of a file, and what its cells may hold.

Every complaint is a UsageError that names the file, the row and the column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from common.errors import UsageError
from producer.datasets.readers.columns import Columns
from producer.datasets.readers.gold_answers import FORMS, gold_answers
from producer.datasets.readers.texts import (
    half_surrogate,
    is_list_as_text,
    is_text,
    is_whole_float,
    number_as_text,
)

SHOWN = 60
_COLUMNS_SHOWN = 8

_A_TEXT = "a text that is not empty"
_TEXTS = "a list of texts that are not empty"
_WRITE_IT = (
    "; write the list itself (in pandas: to_json(orient='records', lines=True) or to_parquet in "
    "place of to_csv), or, if this text is meant, a list that holds it"
)
_LEAVE_IT_OUT = "; nothing could be right, so leave such a question out"
_WRITE_THE_WORD = "; write the word that is to be found, such as 'yes' or 'true'"


class NamedTwice:
    """The cell of a column that shares its name with another; refused where it is asked for."""

    def __repr__(self) -> str:
        return "under a name that two columns have; rename one"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its cells by column; a missing cell is None, or NaN.

    number: as the file shows it, from 1: the line of a text file, the row of a table. columns:
    where it is noted which cells are asked for. is_utf8: False where the bytes of the row are
    not all UTF-8; a cell that is asked for and has such bytes is refused.
    """

    origin: str
    number: int
    cells: Mapping[str, Any]
    columns: Columns | None = None
    is_utf8: bool = True

    @property
    def where(self) -> str:
        """The row in words.

        >>> Row("quiz.jsonl", 3, {}).where
        'quiz.jsonl, row 3'
        """
        return f"{self.origin}, row {self.number}"

    def cell(self, column: str) -> Any:
        """What a column holds; None where it is missing, or NaN as data frames write that."""
        if self.columns is not None:
            self.columns.read.add(column)
        value = self.cells.get(column)
        return None if value != value else value  # NaN alone differs from itself

    def has(self, column: str) -> bool:
        return self.cell(column) is not None

    def only(self, *columns: str) -> "Row":
        """The row without its other columns."""
        return replace(self, cells={c: self.cells[c] for c in columns if c in self.cells})

    def text(self, column: str) -> str:
        """A text that shows something."""
        value = self.cell(column)
        if not is_text(value):
            self._refuse_text(column, value, _A_TEXT, value)
        return value

    def lone_text(self, column: str, way_out: str) -> str:
        """Such a text, and no list that was made a text on the way here."""
        text = self.text(column)
        if is_list_as_text(text):
            self.refuse(column, "a text, not a list written as text", text, way_out)
        return text

    def texts(self, column: str, may_be_empty: bool = False) -> tuple[str, ...]:
        """A list of such texts."""
        value = self.cell(column)
        if not isinstance(value, list):
            written = isinstance(value, str) and is_list_as_text(value)
            self.refuse(column, _TEXTS, value, _WRITE_IT if written else "")
        return self._checked(column, value, _TEXTS, value, may_be_empty)

    def answers(self) -> tuple[str, ...]:
        """The gold answers, in `answers` or `answer`, in any form of `gold_answers`."""
        column, value = "answers", self.cell("answers")
        if value is None and "answer" in self.cells:
            column, value = "answer", self.cell("answer")
        if isinstance(value, str):
            if self.columns is not None and is_whole_float(value):
                self.columns.whole_float = self.columns.whole_float or self.where
            return (self.lone_text(column, _WRITE_IT),)
        found = gold_answers(value)
        if found is None:
            self.refuse(column, FORMS, value)
        if not found:
            self.refuse(column, "a list of texts with at least one", value, _LEAVE_IT_OUT)
        texts = [a if isinstance(a, str) else number_as_text(a) or a for a in found]
        return self._checked(column, texts, FORMS, value)

    def refuse(self, column: str, rule: str, value: Any, advice: str = "") -> NoReturn:
        """Raise the UsageError that says what the cell must be and what it is."""
        got = f"is {_shown(value)}"
        if value is None:
            got = "is missing" + ("" if column in self.cells else self._other_columns())
        raise UsageError(f"{self.where}: column {column!r} must be {rule}, {got}{advice}")

    def _other_columns(self) -> str:
        names = [_shown(name) for name in self.cells]
        if len(names) > _COLUMNS_SHOWN:
            names[_COLUMNS_SHOWN:] = [f"{len(names) - _COLUMNS_SHOWN} more"]
        return f"; the row has {', '.join(names)}" if names else ""

    def _checked(
        self, column: str, texts: list[Any], rule: str, cell: Any, may_be_empty: bool = False
    ) -> tuple[str, ...]:
        """The texts of a cell; raises UsageError for one that is none."""
        if not texts and not may_be_empty:
            self.refuse(column, "a list of texts with at least one", cell)
        for text in texts:
            if not is_text(text):
                self._refuse_text(column, text, rule, cell)
        return tuple(texts)

    def _refuse_text(self, column: str, value: Any, rule: str, cell: Any) -> NoReturn:
        """Refuse what is no text, alone in its cell or in a list of it."""
        if isinstance(value, str) and (half := half_surrogate(value)):
            self._refuse_half(column, half, value)
        among = "" if value is cell else f", {_shown(value)} in it"
        if isinstance(value, bool):
            among += _WRITE_THE_WORD
        elif isinstance(value, str) and value.strip():
            among += ", which shows nothing"
        self.refuse(column, rule, cell, among)

    def _refuse_half(self, column: str, half: str, text: str) -> NoReturn:
        shown = _shown(text)
        if not self.is_utf8 and half <= "\udcff":
            raise UsageError(
                f"{self.where}: not UTF-8 in column {column!r}, which holds {shown}; save the "
                "file as UTF-8"
            )
        raise UsageError(
            f"{self.where}: column {column!r} must be text that UTF-8 can hold, has half a "
            f"surrogate pair ({half!r}) in {shown}; write the whole character, or leave it out"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

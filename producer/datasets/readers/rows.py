"""Row: one record of a data set, whose cells are checked when they are asked for.

Every error is a UsageError that names the file, the row and the column.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    """The cell of a column that shares its name with another; `Row` refuses to read it."""

    def __repr__(self) -> str:
        return "under a name that two columns have; rename one"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its place, and its cells by column. A missing cell is None, or NaN.

    origin: the file, or the data set where no file holds the row. number: from 1; the line of a
    text file, the row of a table. columns: records which cells are asked for. is_utf8: False if
    the bytes of the row are not all UTF-8; a cell with such bytes is refused when it is asked for.
    unit: the thing that `number` counts, "row" or "question".
    """

    origin: str
    number: int
    cells: Mapping[str, Any]
    columns: Columns | None = None
    is_utf8: bool = True
    unit: str = "row"

    @property
    def where(self) -> str:
        """The row in words, with its file.

        >>> Row("quiz.jsonl", 3, {}).where
        'quiz.jsonl, row 3'
        """
        return f"{self.origin}, {self.place}"

    @property
    def place(self) -> str:
        """The row in words, within its file: 'row 3'."""
        return f"{self.unit} {self.number}"

    def cell(self, column: str) -> Any:
        """The value of a column; None if it is missing, or NaN, which data frames write for it."""
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
        """A text with a visible character; raises UsageError for any other cell."""
        value = self.cell(column)
        if not is_text(value):
            self._refuse_text(column, value, _A_TEXT, value)
        return value

    def lone_text(self, column: str, advice: str) -> str:
        """A text as `text` returns it; raises UsageError also for a list written as text."""
        text = self.text(column)
        if is_list_as_text(text):
            self.refuse(column, "a text, not a list written as text", text, advice)
        return text

    def texts(self, column: str, may_be_empty: bool = False) -> tuple[str, ...]:
        """A list of texts with a visible character each; raises UsageError for another cell."""
        value = self.cell(column)
        if not isinstance(value, list):
            is_written_list = isinstance(value, str) and is_list_as_text(value)
            self.refuse(column, _TEXTS, value, _WRITE_IT if is_written_list else "")
        return self._checked(column, value, _TEXTS, value, may_be_empty)

    def answers(self) -> tuple[str, ...]:
        """The gold answers in `answers`, else `answer`, in any form that `gold_answers` takes.

        Raises UsageError if there is none, or one is no text.
        """
        column, value = "answers", self.cell("answers")
        if value is None and "answer" in self.cells:
            column, value = "answer", self.cell("answer")
        if isinstance(value, str):
            if self.columns is not None and is_whole_float(value):
                self.columns.whole_float = self.columns.whole_float or self.where
            return (self.lone_text(column, _WRITE_IT),)
        answers = gold_answers(value)
        if answers is None:
            self.refuse(column, FORMS, value)
        if not answers:
            self.refuse(column, "a list of texts with at least one", value, _LEAVE_IT_OUT)
        texts = [a if isinstance(a, str) else number_as_text(a) or a for a in answers]
        return self._checked(column, texts, FORMS, value)

    def refuse(self, column: str, rule: str, value: Any, advice: str = "") -> NoReturn:
        """Raise a UsageError with the rule for the cell and the value that it has."""
        actual = f"is {_shown(value)}"
        if value is None:
            actual = "is missing" + ("" if column in self.cells else self._other_columns())
        raise UsageError(f"{self.where}: column {column!r} must be {rule}, {actual}{advice}")

    def _other_columns(self) -> str:
        names = [_shown(name) for name in self.cells]
        if len(names) > _COLUMNS_SHOWN:
            names[_COLUMNS_SHOWN:] = [f"{len(names) - _COLUMNS_SHOWN} more"]
        return f"; the row has {', '.join(names)}" if names else ""

    def _checked(
        self, column: str, texts: list[Any], rule: str, cell: Any, may_be_empty: bool = False
    ) -> tuple[str, ...]:
        """The texts as a tuple; raises UsageError for a value among them that is no text."""
        if not texts and not may_be_empty:
            self.refuse(column, "a list of texts with at least one", cell)
        for text in texts:
            if not is_text(text):
                self._refuse_text(column, text, rule, cell)
        return tuple(texts)

    def _refuse_text(self, column: str, value: Any, rule: str, cell: Any) -> NoReturn:
        """Raise UsageError for a value that is no text: the cell, or one in the cell's list."""
        if isinstance(value, str) and (half := half_surrogate(value)):
            self._refuse_half(column, half, value)
        advice = "" if value is cell else f", {_shown(value)} in it"
        if isinstance(value, bool):
            advice += _WRITE_THE_WORD
        elif isinstance(value, str) and value.strip():
            advice += ", which shows nothing"
        self.refuse(column, rule, cell, advice)

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


def number_rows(origin: str, records: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows of a data set that no file holds, numbered as its questions.

    >>> [row.where for row in number_rows("capitals", [{"country": "Japan"}])]
    ['capitals, question 1']
    """
    for number, cells in enumerate(records, start=1):
        yield Row(origin, number, cells, unit="question")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

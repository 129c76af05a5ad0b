"""One row of a file, and what its cells may hold.

Every complaint is a UsageError that names the file, the row (from 1) and the column.
"""

from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from common.errors import UsageError

SHOWN = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its cells by column; a missing cell is None."""

    origin: str
    number: int
    cells: dict[str, Any]

    @property
    def where(self) -> str:
        """The row in words.

        >>> Row("quiz.jsonl", 3, {}).where
        'quiz.jsonl, row 3'
        """
        return f"{self.origin}, row {self.number}"

    def has(self, column: str) -> bool:
        return self.cells.get(column) is not None

    def only(self, *columns: str) -> "Row":
        """The row without its other columns."""
        cells = {column: self.cells.get(column) for column in columns}
        return Row(self.origin, self.number, cells)

    def text(self, column: str) -> str:
        """A text that is not blank."""
        value = self.cells.get(column)
        if not _is_text(value):
            self.refuse(column, "a text that is not empty", value)
        return value

    def texts(self, column: str, may_be_empty: bool = False) -> tuple[str, ...]:
        """A list of such texts."""
        value = self.cells.get(column)
        if not isinstance(value, list) or not all(_is_text(text) for text in value):
            self.refuse(column, "a list of texts that are not empty", value)
        if not value and not may_be_empty:
            self.refuse(column, "a list of texts with at least one", value)
        return tuple(value)

    def answers(self) -> tuple[str, ...]:
        """The gold answers: a list or one text in `answers`, or one text in `answer`."""
        column = "answers" if self.has("answers") or not self.has("answer") else "answer"
        if isinstance(self.cells.get(column), str):
            return (self.text(column),)
        return self.texts(column)

    def refuse(self, column: str, rule: str, value: Any) -> NoReturn:
        """Raise the UsageError that says what the cell must be and what it is."""
        text = repr(value)
        got = "is missing" if value is None else f"is {text[:SHOWN]}"
        raise UsageError(f"{self.where}: column {column!r} must be {rule}, {got}")


def _is_text(value: Any) -> TypeGuard[str]:
    """A str that says something and that UTF-8 can hold; JSON can spell halves of characters."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Question files: what a row of one means.

Columns: `question` (text), `answers` (also named `answer`) in any form that `gold_answers` takes;
optional `uuid`; optional `paraphrases` (list of texts) or `paraphrase0`, `paraphrase1`, ...
Without `question` the first paraphrase is the question. Other columns are ignored; those whose
names promise answers or paraphrases are named.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.prompts import Example
from producer.datasets.readers.formats import read_rows
from producer.datasets.readers.rows import Row

_NUMBERED = re.compile(r"paraphrase(\d+)")
_ONE_IN_EACH = "; write one text in each such column, or the list in a column 'paraphrases'"


@dataclass(frozen=True)
class Question:
    """A question and its other paraphrases.

    num_manual: where a data set has paraphrases of two kinds, `paraphrases` are all of them, the
    question among them, and the first num_manual were written by hand. where: its file and
    row, for complaints.
    """

    question: str
    answers: tuple[str, ...]
    uuid: str | None
    paraphrases: tuple[str, ...]
    num_manual: int | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Skipped:
    """A row that is no question of the data set, and why; it is counted and said."""

    reason: str


def read_questions(path: Path) -> Iterator[Question]:
    """Stream a file's questions; raises UsageError at the first row that is not right."""
    return map(question_of, read_rows(path))


def question_of(row: Row) -> Question:
    """A row of a question file.

    >>> question_of(Row("f", 1, {"paraphrases": ["who?", "which one?"], "answer": "x"})).question
    'who?'
    """
    paraphrases = _paraphrases(row)
    has_question = row.has("question") or not paraphrases
    question = row.text("question") if has_question else paraphrases[0]
    uuid = row.text("uuid") if row.has("uuid") else None
    return Question(question, row.answers(), uuid, paraphrases, where=row.where)


def example_of(row: Row) -> Example:
    """A row of a few-shot file: the question and its first answer."""
    question = question_of(row)
    return question.question, question.answers[0]


def _paraphrases(row: Row) -> tuple[str, ...]:
    if row.has("paraphrases"):
        return row.texts("paraphrases", may_be_empty=True)
    numbered = sorted((int(m[1]), k) for k in row.cells if (m := _NUMBERED.fullmatch(k)))
    return tuple(row.lone_text(k, _ONE_IN_EACH) for _, k in numbered if row.has(k))

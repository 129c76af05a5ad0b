"""Rows of question files: one row becomes one sample, or one few-shot example.

Columns: `question` (text), `answers` (also named `answer`) in any form that `gold_answers` takes;
optional `uuid`; optional `paraphrases` (list of texts) or `paraphrase0`, `paraphrase1`, ...
Without `question` the first paraphrase is the question. Other columns are ignored; a note lists
those whose names promise answers or paraphrases.
"""

import re
from collections.abc import Iterable

from common.prompts import Example
from common.records import Sample
from producer.datasets.readers.rows import Row

_NUMBERED = re.compile(r"paraphrase(\d+)")
_ONE_IN_EACH = "; write one text in each such column, or the list in a column 'paraphrases'"


def read_question(row: Row) -> Sample:
    """The sample in a row of a question file; raises UsageError for a bad cell.

    >>> read_question(Row("f", 1, {"paraphrases": ["who?", "which one?"], "answer": "x"}))
    ... # doctest: +ELLIPSIS
    Sample(paraphrases=('who?', 'which one?'), answers=('x',), uuid='2031a9...
    """
    paraphrases = _paraphrases(row)
    has_question = row.has("question") or not paraphrases
    question = row.text("question") if has_question else paraphrases[0]
    uuid = row.text("uuid") if row.has("uuid") else ""
    return Sample(question_first(question, paraphrases), row.answers(), uuid)


def read_example(row: Row) -> Example:
    """The question of a few-shot row and its first answer; raises UsageError for a bad cell."""
    sample = read_question(row)
    return sample.paraphrases[0], sample.answers[0]


def question_first(question: str, paraphrases: Iterable[str]) -> tuple[str, ...]:
    """The question, then those of its paraphrases that differ from it.

    >>> question_first("who?", ["which one?", "who?"])
    ('who?', 'which one?')
    """
    return (question, *(text for text in paraphrases if text != question))


def _paraphrases(row: Row) -> tuple[str, ...]:
    if row.has("paraphrases"):
        return row.texts("paraphrases", may_be_empty=True)
    numbered = sorted((int(m[1]), k) for k in row.cells if (m := _NUMBERED.fullmatch(k)))
    return tuple(row.lone_text(k, _ONE_IN_EACH) for _, k in numbered if row.has(k))

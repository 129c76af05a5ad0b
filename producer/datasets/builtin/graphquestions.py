"""GraphQuestions (Su et al. 2016): questions on a knowledge graph, paraphrased by people.

A row of a file is a group of questions with the same meaning and answers: `id`, `answers`,
`function`, `n_question_level`, `paraphrases` (a list of `qid` and `text`). Only the closed-book
subset is kept, which a model can answer without the graph. Paraphrases that differ only in the
spelling of an entity share `int(qid) // 100`; the first of each is kept.
"""

from collections.abc import Iterator
from dataclasses import replace

from common.errors import UsageError
from common.prompts import QUESTION_ANSWERING
from common.records import Sample
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset, Skipped, bundled_few_shot
from producer.datasets.readers.questions import question_first
from producer.datasets.readers.rows import Row

MOST_ANSWERS = 3
FEWEST_PARAPHRASES = 5

_SPELLINGS = 100
_NOT_CLOSED_BOOK = Skipped(
    f"not closed-book (function none, at most {MOST_ANSWERS} answers, at least "
    f"{FEWEST_PARAPHRASES} question-level paraphrases)"
)


def open_dataset() -> Dataset:
    """Groups of questions from a file; the examples are bundled."""
    return Dataset(
        name="graphquestions",
        template=QUESTION_ANSWERING,
        rows=_no_rows,
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
        read=_read,
    )


def _no_rows() -> Iterator[Row]:
    raise UsageError(
        "--dataset graphquestions comes from a file: give --data with the columns id, answers, "
        "function, n_question_level and paraphrases (a list of qid and text); the questions are "
        "at https://github.com/ysu1989/GraphQuestions, docs/datasets.md shows a row"
    )


def _read(row: Row) -> Sample | Skipped:
    function, paraphrases = row.text("function"), _paraphrases(row)
    level = row.cell("n_question_level")
    if not isinstance(level, int):
        row.refuse("n_question_level", "a whole number", level)
    if function != "none" or level < FEWEST_PARAPHRASES:
        return _NOT_CLOSED_BOOK
    answers = row.answers()
    if len(answers) > MOST_ANSWERS:
        return _NOT_CLOSED_BOOK
    return Sample(question_first(paraphrases[0], paraphrases), answers, row.text("id"))


def _paraphrases(row: Row) -> tuple[str, ...]:
    """The first text of each question-level paraphrase, in the order of the file."""
    group = row.cell("paraphrases")
    if not isinstance(group, list) or not group:
        row.refuse("paraphrases", "a list of qid and text with at least one", group)
    texts: dict[int, str] = {}
    for cell in group:
        if not isinstance(cell, dict) or not str(cell.get("qid")).isdecimal():
            row.refuse("paraphrases", "a list of qid (a number) and text", cell)
        text = replace(row, cells=cell, columns=None).text("text")
        texts.setdefault(int(cell["qid"]) // _SPELLINGS, text)
    return tuple(texts.values())

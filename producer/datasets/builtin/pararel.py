"""ParaRel-style files: facts as sentences with one `[MASK]`, in paraphrases written by hand.

A row of a file: `answers`, `paraphrases` (5 to 20 in ParaRel itself, Elazar et al. 2021, over
T-REx), optional `uuid`. The first paraphrase is the question.
"""

from collections.abc import Iterator

from common.errors import UsageError
from common.prompts import Example
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset
from producer.datasets.masked import MAX_NEW_TOKENS, PREDICT_THE_MASK, bundled_masked, sentences
from producer.datasets.question_files import Question, question_of
from producer.datasets.readers.rows import Row


def open_dataset() -> Dataset:
    """Sentences of a file; the examples are bundled."""
    return Dataset(
        name="pararel",
        template=PREDICT_THE_MASK,
        questions=_questions,
        few_shot=bundled_masked,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
        question=_fact,
        example=_example,
        fallback_examples=bundled_masked,
        default_layout="shared",
        default_max_new_tokens=MAX_NEW_TOKENS,
    )


def _questions() -> Iterator[Question]:
    raise UsageError(
        "--dataset pararel comes from a file: give --data with the columns answers and "
        "paraphrases (sentences with one [MASK]) and, if there is one, uuid; the patterns are at "
        "https://github.com/yanaiela/pararel, docs/datasets.md shows a row"
    )


def _fact(row: Row) -> Question:
    sentences(row, "paraphrases")
    return question_of(row.only("uuid", "answers", "answer", "paraphrases"))


def _example(row: Row) -> Example:
    fact = _fact(row)
    return fact.question, fact.answers[0]

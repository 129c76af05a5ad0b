"""ParaRel-style files: facts as sentences with one `[MASK]`, in paraphrases written by hand.

A row of a file: `answers`, `paraphrases` (5 to 20 in ParaRel itself, Elazar et al. 2021, over
T-REx), optional `uuid`. The first paraphrase is the question.
"""

from collections.abc import Iterator

from common.errors import UsageError
from common.prompts import Example
from common.records import Sample
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset
from producer.datasets.masked import MAX_NEW_TOKENS, PREDICT_THE_MASK, bundled_masked, sentences
from producer.datasets.readers.questions import read_example, read_question
from producer.datasets.readers.rows import Row


def open_dataset() -> Dataset:
    """Masked sentences from a file; the examples are bundled."""
    return Dataset(
        name="pararel",
        template=PREDICT_THE_MASK,
        rows=_no_rows,
        few_shot=bundled_masked,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
        read=_read,
        example=_example,
        fallback_examples=bundled_masked,
        default_layout="shared",
        default_max_new_tokens=MAX_NEW_TOKENS,
    )


def _no_rows() -> Iterator[Row]:
    raise UsageError(
        "--dataset pararel comes from a file: give --data with the columns answers and "
        "paraphrases (sentences with one [MASK]) and, if there is one, uuid; the patterns are at "
        "https://github.com/yanaiela/pararel, docs/datasets.md shows a row"
    )


def _read(row: Row) -> Sample:
    return read_question(_masked(row))


def _example(row: Row) -> Example:
    return read_example(_masked(row))


def _masked(row: Row) -> Row:
    """The columns of the data set; raises UsageError for paraphrases without one `[MASK]` each."""
    sentences(row, "paraphrases")
    return row.only("uuid", "answers", "answer", "paraphrases")

"""webqa_mini: a small bundled data set with human paraphrases, for demos and tests.

72 factual questions of our own writing, each with five more paraphrases of another structure.
"""

from collections.abc import Iterator

from common.prompts import QUESTION_ANSWERING
from producer.datasets.dataset import BUNDLED, DEFAULT_FEW_SHOT, Dataset, bundled_few_shot
from producer.datasets.question_files import Question, read_questions


def open_dataset() -> Dataset:
    """The bundled questions."""
    return Dataset(
        name="webqa_mini",
        template=QUESTION_ANSWERING,
        questions=_questions,
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )


def _questions() -> Iterator[Question]:
    return read_questions(BUNDLED / "webqa_mini.jsonl")

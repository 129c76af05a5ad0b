"""webqa_mini: a small bundled data set with human paraphrases, for demos and tests.

72 factual questions of our own writing, each with five more paraphrases of another structure.
"""

from common.prompts import QUESTION_ANSWERING
from producer.datasets.dataset import BUNDLED, DEFAULT_FEW_SHOT, Dataset, bundled_few_shot
from producer.datasets.readers.formats import read_rows


def open_dataset() -> Dataset:
    """The bundled questions."""
    return Dataset(
        name="webqa_mini",
        template=QUESTION_ANSWERING,
        rows=lambda: read_rows(BUNDLED / "webqa_mini.jsonl"),
        few_shot=bundled_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )

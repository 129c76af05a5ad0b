"""WebQuestions (Berant et al. 2013), from the hub.

Few-shot examples are drawn from the n rows of the train split as in published results: the rows
numbered `random.Random(42).sample(range(n), 5)`, in that order.
"""

import random
from collections.abc import Iterator

from common.prompts import QUESTION_ANSWERING, Example
from producer.datasets import hub
from producer.datasets.dataset import DEFAULT_FEW_SHOT, Dataset
from producer.datasets.readers.rows import Row, number_rows

HUB_ID = "stanfordnlp/web_questions"
FEW_SHOT_SEED = 42


def open_dataset() -> Dataset:
    """The test split, which is fetched when it is read."""
    return Dataset(
        name="webqa",
        template=QUESTION_ANSWERING,
        rows=_rows,
        few_shot=_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin=f"the train split of {HUB_ID}, seed {FEW_SHOT_SEED}",
    )


def _rows() -> Iterator[Row]:
    with hub.hub_errors(HUB_ID, "test"):
        yield from number_rows("webqa", hub.load_split(HUB_ID, "test", streaming=True))


def _few_shot(count: int) -> list[Example]:
    with hub.hub_errors(HUB_ID, "train"):
        train = hub.load_split(HUB_ID, "train", streaming=False)
        drawn = random.Random(FEW_SHOT_SEED).sample(range(len(train)), min(count, len(train)))
        return [(row["question"], row["answers"][0]) for row in train.select(drawn)]

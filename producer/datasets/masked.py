"""Sentences with one `[MASK]`: the prompt, rows and examples that such data sets share."""

from common.errors import UsageError
from common.prompts import Example, Template
from producer.datasets.dataset import BUNDLED, few_shot_from
from producer.datasets.readers.rows import Row

MASK = "[MASK]"
MAX_NEW_TOKENS = 10

PREDICT_THE_MASK = Template(
    instruction="Based on the context, predict the [MASK] in the sentence in one word.",
    prediction="word",
)


def bundled_masked(count: int) -> list[Example]:
    """The first `count` sentences and words of the file that comes with the producer."""
    return few_shot_from(BUNDLED / "masked_few_shot.jsonl", count)


def sentences(row: Row, column: str, may_be_empty: bool = False) -> tuple[str, ...]:
    """The texts of a column; raises UsageError unless each has exactly one `[MASK]`."""
    texts = row.texts(column, may_be_empty)
    for number, text in enumerate(texts, start=1):
        if text.count(MASK) != 1:
            raise UsageError(
                f"{row.where}: column {column!r} must have one {MASK} in every text, "
                f"text {number} has {text.count(MASK)}: {text[:60]!r}"
            )
    return texts

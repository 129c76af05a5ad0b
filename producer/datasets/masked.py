"""What data sets of sentences with one `[MASK]` have in common: prompt, rows, examples."""

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
    """The first of the sentences and words that come with the producer."""
    return few_shot_from(BUNDLED / "masked_few_shot.jsonl", count)


def sentences(row: Row, column: str, may_be_empty: bool = False) -> tuple[str, ...]:
    """Texts with one `[MASK]` each; raises UsageError for one with none or several."""
    texts = row.texts(column, may_be_empty)
    for number, text in enumerate(texts, start=1):
        if text.count(MASK) != 1:
            raise UsageError(
                f"{row.where}: column {column!r} must have one {MASK} in every text, "
                f"text {number} has {text.count(MASK)}: {text[:60]!r}"
            )
    return texts

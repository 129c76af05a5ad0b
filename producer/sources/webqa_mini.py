"""webqa_mini: a small bundled data set with human wordings, for demos and tests.

72 factual questions of our own writing, each with five more wordings of another structure.
"""

from collections.abc import Iterator
from pathlib import Path

from common.prompts import QUESTION_ANSWERING, Example
from producer.sources.files import Question, read_questions
from producer.sources.source import DEFAULT_FEW_SHOT, Source, few_shot_from

_DATA = Path(__file__).parent / "data"


def open_source() -> Source:
    """The bundled questions."""
    return Source(
        name="webqa_mini",
        template=QUESTION_ANSWERING,
        questions=_questions,
        few_shot=_few_shot,
        default_few_shot=DEFAULT_FEW_SHOT,
        few_shot_origin="the bundled examples",
    )


def _questions() -> Iterator[Question]:
    return read_questions(_DATA / "webqa_mini.jsonl")


def _few_shot(count: int) -> list[Example]:
    return few_shot_from(_DATA / "webqa_mini_few_shot.jsonl", count)

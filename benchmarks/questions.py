"""Questions written for the benchmarks, in five paraphrases each; templates and names are data.

`questions.jsonl` has eight questions about one person, one about two persons, and the persons'
names. The questions are about as long as those of WebQuestions, but none of them is one of those;
questions about two persons are a few tokens longer. The benchmarks never look at the answers, so
the questions need no right one.

The order never changes, and the first n questions mix all templates and names. No two questions
share a paraphrase: the engine would compute equal paraphrases once, which flatters the figures.
"""

import json
import random
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.records import Sample

SEED = 0
NUM_PARAPHRASES = 5
MAX_SAMPLES = 512
"""Questions about one person: eight templates, 64 names."""
MAX_QUESTIONS = 2032
"""All questions: as many as WebQuestions' test split has."""

Templates = tuple[str, ...]
"""Paraphrases of one question, with `{}` for each person."""

_FILE = Path(__file__).with_name("questions.jsonl")


def person_questions(count: int, num_paraphrases: int = NUM_PARAPHRASES) -> list[Sample]:
    """First `count` questions about one person. Raises UsageError for more than MAX_SAMPLES."""
    if count > MAX_SAMPLES:
        raise UsageError(f"there are {MAX_SAMPLES} benchmark questions, not {count}")
    pairs = list(product(_templates(persons=1), _names()))
    random.Random(SEED).shuffle(pairs)
    return [_question(templates[:num_paraphrases], name) for templates, name in pairs[:count]]


def many_questions(count: int) -> list[Sample]:
    """First `count` questions about one or two persons. Raises UsageError for too many."""
    if count > MAX_QUESTIONS:
        raise UsageError(f"there are {MAX_QUESTIONS} benchmark questions, not {count}")
    (templates,) = _templates(persons=2)
    couples = list(combinations(_names(), 2))
    mixer = random.Random(SEED)
    mixer.shuffle(couples)
    questions = person_questions(MAX_SAMPLES)
    questions += [
        _question(templates, *couple) for couple in couples[: MAX_QUESTIONS - MAX_SAMPLES]
    ]
    mixer.shuffle(questions)
    return questions[:count]


def texts_of(questions: Sequence[Sample]) -> list[str]:
    """All paraphrases of all questions, question by question."""
    return [paraphrase for question in questions for paraphrase in question.paraphrases]


def _question(templates: Templates, *names: str) -> Sample:
    return Sample(tuple(template.format(*names) for template in templates))


def _templates(persons: int) -> list[Templates]:
    return [tuple(row["templates"]) for row in _rows() if row.get("persons") == persons]


def _names() -> list[str]:
    return [row["name"] for row in _rows() if "name" in row]


@cache
def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]

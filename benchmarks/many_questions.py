"""As many questions as WebQuestions' test split has, in five wordings: invented, or from a file.

No two share a wording, for the reason `workload` gives. Those about two persons are some tokens
longer than WebQuestions' are.
"""

import random
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path

from benchmarks.wordings import NAMES, NUM_WORDINGS
from benchmarks.workload import MAX_SAMPLES, SEED, Workload
from common.errors import UsageError
from producer.sources.files import Question as FileQuestion
from producer.sources.files import read_questions
from worker.engine.request import Question

MAX_QUESTIONS = 2032

PAIR_WORDINGS = (
    "who was born first, {} or {}?",
    "which of {} and {} was born earlier?",
    "was {} older than {}?",
    "{} or {}: who came first?",
    "did {} live before {}?",
)

FRAMES = ("{}", "tell me, {}", "do you know {}", "i would like to know {}", "in short, {}")
"""Wordings for a question that comes with none."""


def many_questions(count: int) -> list[Question]:
    """The first `count` of all, about one person and about two, mixed."""
    if count > MAX_QUESTIONS:
        raise UsageError(f"there are {MAX_QUESTIONS} benchmark questions, not {count}")
    pairs = list(combinations(NAMES, 2))
    mixer = random.Random(SEED)
    mixer.shuffle(pairs)
    questions = Workload().questions(MAX_SAMPLES)
    questions += [
        Question(tuple(wording.format(*pair) for wording in PAIR_WORDINGS))
        for pair in pairs[: MAX_QUESTIONS - MAX_SAMPLES]
    ]
    mixer.shuffle(questions)
    return questions[:count]


def questions_of_file(path: Path, count: int) -> list[Question]:
    """The first `count` distinct questions of a question file, fewer where it has fewer."""
    read = {question.question: question for question in read_questions(path)}
    return [Question(_wordings(question)) for question in islice(read.values(), count)]


def _wordings(question: FileQuestion) -> tuple[str, ...]:
    """The file's own; where they are too few, the question in five frames."""
    own = tuple(dict.fromkeys((question.question, *question.paraphrases)))
    if len(own) >= NUM_WORDINGS:
        return own[:NUM_WORDINGS]
    return tuple(frame.format(question.question) for frame in FRAMES)


def texts_of(questions: Sequence[Question]) -> list[str]:
    """Every wording of every question."""
    return [wording for question in questions for wording in question.wordings]


def prompts_of(questions: Sequence[Question], workload: Workload) -> list[str]:
    """The same as plain prompts, examples included: what a tokenizer is to be made for."""
    asked = workload.request("origin")
    return [asked.template.prompt(text, asked.few_shot) for text in texts_of(questions)]

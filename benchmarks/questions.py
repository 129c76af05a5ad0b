"""As many questions as WebQuestions' test split has, invented, in five paraphrases.

No two share a paraphrase, for the reason `workload` gives. Those about two persons are some tokens
longer than WebQuestions' are.
"""

import random
from collections.abc import Sequence
from itertools import combinations

from benchmarks.paraphrases import NAMES
from benchmarks.workload import MAX_SAMPLES, SEED, Workload
from common.errors import UsageError
from common.records import Sample

MAX_QUESTIONS = 2032

PAIR_PARAPHRASES = (
    "who was born first, {} or {}?",
    "which of {} and {} was born earlier?",
    "was {} older than {}?",
    "{} or {}: who came first?",
    "did {} live before {}?",
)


def many_questions(count: int) -> list[Sample]:
    """The first `count` of all, about one person and about two, mixed."""
    if count > MAX_QUESTIONS:
        raise UsageError(f"there are {MAX_QUESTIONS} benchmark questions, not {count}")
    pairs = list(combinations(NAMES, 2))
    mixer = random.Random(SEED)
    mixer.shuffle(pairs)
    questions = Workload().questions(MAX_SAMPLES)
    questions += [
        Sample(tuple(paraphrase.format(*pair) for paraphrase in PAIR_PARAPHRASES))
        for pair in pairs[: MAX_QUESTIONS - MAX_SAMPLES]
    ]
    mixer.shuffle(questions)
    return questions[:count]


def texts_of(questions: Sequence[Sample]) -> list[str]:
    """Every paraphrase of every question."""
    return [paraphrase for question in questions for paraphrase in question.paraphrases]


def prompts_of(questions: Sequence[Sample], workload: Workload) -> list[str]:
    """Every paraphrase as a plain prompt, examples included: the texts to make a tokenizer for."""
    asked = workload.request("origin")
    return [asked.template.prompt(text, asked.few_shot) for text in texts_of(questions)]

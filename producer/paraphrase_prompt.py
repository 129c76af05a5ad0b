"""Prompt, examples and sampling with which a model writes paraphrases."""

import json
from functools import cache

from common.prompts import Template
from common.run import SamplingParams
from producer.datasets.dataset import BUNDLED

SAMPLING = SamplingParams(temperature=1.5, top_p=0.9, num_draws=1)
MAX_NEW_TOKENS = 30

TEMPLATE = Template(
    instruction="Paraphrase the question: ask for the same thing in other words.",
    example="Question: {question}\nParaphrase: {answer}\n\n",
    question="Question: {question}\n",
    cue="Paraphrase:",
)


@cache
def exemplars() -> tuple[tuple[str, ...], ...]:
    """Bundled questions with their paraphrases, the examples of the prompt.

    The prompt for paraphrase i shows paraphrase i of each question.
    """
    text = (BUNDLED / "paraphrase_exemplars.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple((row["question"], *row["paraphrases"]) for row in rows)

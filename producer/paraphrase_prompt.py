"""How paraphrases are asked for: the prompt, the examples, and how they are drawn."""

import json
from functools import cache

from common.prompts import Template
from common.run import SamplingParams
from producer.datasets.dataset import BUNDLED

SAMPLING = SamplingParams(temperature=1.5, top_p=0.9, num_draws=1)
MAX_NEW_TOKENS = 30

TEMPLATE = Template(
    instruction="Paraphrase the question: ask for the same thing in other words.",
    question="Question: ",
    cue="Paraphrase:",
)


@cache
def exemplars() -> tuple[tuple[str, ...], ...]:
    """Questions of our own, each with its paraphrases: paraphrase i is shown for paraphrase i."""
    text = (BUNDLED / "paraphrase_exemplars.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple((row["question"], *row["paraphrases"]) for row in rows)

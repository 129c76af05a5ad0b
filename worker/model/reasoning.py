"""Reasoning: the marks between which a model thinks before it answers. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thought>", "</thought>"),
)
"""Known marks: of Qwen and DeepSeek, Mistral, Cohere, Seed, EXAONE."""


@dataclass(frozen=True)
class ReasoningMarks:
    """The texts between which a model reasons.

    end_ids: the tokens of the end mark, forced where a model reasons for too long.
    """

    start: str
    end: str
    end_ids: tuple[int, ...]

    def is_open(self, prompt: str) -> bool:
        """Whether a prompt ends inside of reasoning: with the start mark, as R1's does."""
        return prompt.rstrip().endswith(self.start)


def find_marks(tokenizer: PreTrainedTokenizerBase, template: str) -> ReasoningMarks | None:
    """Return the first known marks that the chat template or the vocabulary has; else None."""
    vocabulary = tokenizer.get_vocab()
    for start, end in MARKS:
        if (start in template and end in template) or (start in vocabulary and end in vocabulary):
            ids: Sequence[int] = tokenizer(end, add_special_tokens=False)["input_ids"]
            return ReasoningMarks(start, end, tuple(ids))
    return None

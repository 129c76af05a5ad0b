"""The plain prompts of questions as token ids, alike for everyone who is to answer them."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.layout import PromptTokens, TokenIds, pack_plain

Place = tuple[int, int]
"""Of a prompt: the number of its question, and of its paraphrase."""


@dataclass(frozen=True)
class PlainPrompt:
    """One paraphrase of one question, with the examples before it."""

    place: Place
    tokens: TokenIds


def plain_prompts(prompt_tokens: Sequence[PromptTokens]) -> list[PlainPrompt]:
    """Question by question all its paraphrases."""
    return [
        PlainPrompt((question, paraphrase), pack_plain(each, paraphrase).tokens)
        for question, each in enumerate(prompt_tokens)
        for paraphrase in range(len(each.prompts))
    ]


def by_paraphrase(prompts: Sequence[PlainPrompt]) -> list[PlainPrompt]:
    """All first paraphrases, then all second ones: a batch of one paraphrase of many questions."""
    return sorted(prompts, key=lambda prompt: (prompt.place[1], prompt.place[0]))

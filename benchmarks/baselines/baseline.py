"""A baseline: one way to answer plain prompts, its time and tokens, and how it compares."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.measure import Timed
from benchmarks.report import BenchmarkRow
from common.layout import PromptTokens, TokenIds, pack_plain

PromptPlace = tuple[int, int]
"""Number of a prompt's question, and of its paraphrase."""

TokensByPlace = dict[PromptPlace, TokenIds]
"""Prompt -> tokens generated after it."""


@dataclass(frozen=True)
class PlainPrompt:
    """One paraphrase of one question, with the examples before it."""

    place: PromptPlace
    tokens: TokenIds


def plain_prompts(prompt_tokens: Sequence[PromptTokens]) -> list[PlainPrompt]:
    """All paraphrases of the first question, then of the second, and so on."""
    return [
        PlainPrompt((question, paraphrase), pack_plain(each, paraphrase).tokens)
        for question, each in enumerate(prompt_tokens)
        for paraphrase in range(len(each.prompts))
    ]


def by_paraphrase(prompts: Sequence[PlainPrompt]) -> list[PlainPrompt]:
    """All first paraphrases, then all second ones, so that a batch holds one of each question."""
    return sorted(prompts, key=lambda prompt: (prompt.place[1], prompt.place[0]))


@dataclass(frozen=True)
class Baseline:
    """Result of one way. paraphrases: read in all. time: None if it did not run; note says why."""

    name: str
    paraphrases: int = 0
    time: Timed | None = None
    tokens: TokensByPlace = field(default_factory=dict, repr=False)
    note: str = ""

    @property
    def prompts_per_second(self) -> float | None:
        return self.paraphrases / self.time.seconds if self.time else None

    def speedup_over(self, other: "Baseline") -> float | None:
        """How many times faster than the other; None if either did not run."""
        rate, other_rate = self.prompts_per_second, other.prompts_per_second
        return rate / other_rate if rate and other_rate else None

    def row(self, published: "Baseline", reference: "Baseline", per_question: int) -> BenchmarkRow:
        """Row of the table. reference: the baseline with whose tokens these are compared.

        per_question: paraphrases of a question.
        """
        rate = self.prompts_per_second
        return {
            "way": self.name,
            "questions": self.paraphrases / per_question,
            "seconds": self.time.seconds if self.time else None,
            "questions/s": rate / per_question if rate else None,
            "prompts/s": rate,
            "over published": self.speedup_over(published),
            "same tokens": same_share(self.tokens, reference.tokens),
            "repeats": self.time.repeats if self.time else 0,
            "note": self.note,
        }


def same_share(tokens: TokensByPlace, reference: TokensByPlace) -> float | None:
    """Share of tokens that equal the reference's at the same step; None without a common prompt.

    >>> same_share({(0, 0): (1, 2, 3), (0, 1): (5,)}, {(0, 0): (1, 2, 4), (9, 9): (7,)})
    0.6666666666666666
    """
    pairs = [
        pair for place in tokens.keys() & reference.keys()
        for pair in zip(tokens[place], reference[place], strict=True)
    ]  # fmt: skip
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def ratios(baselines: Sequence[Baseline], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Speedup of the first of each pair of names over the second, where both ran."""
    by_name = {each.name: each for each in baselines}
    speedups = {
        f"{a} over {b}": by_name[a].speedup_over(by_name[b])
        for a, b in pairs
        if a in by_name and b in by_name
    }
    return {name: ratio for name, ratio in speedups.items() if ratio}

"""A way to do the job, and how it compares with the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.measure import Timed
from benchmarks.prompts import Place
from benchmarks.report import BenchmarkRow
from common.layout import TokenIds

Tokens = dict[Place, TokenIds]
"""By prompt: what was generated after it."""


@dataclass(frozen=True)
class Way:
    """What one way did. paraphrases: read in all; time: None where it did not run, and why."""

    name: str
    paraphrases: int = 0
    time: Timed | None = None
    tokens: Tokens = field(default_factory=dict, repr=False)
    note: str = ""

    @property
    def prompts_per_second(self) -> float | None:
        return self.paraphrases / self.time.seconds if self.time else None

    def with_file(self, other: "Way") -> float | None:
        """How many times faster, or None where either did not run."""
        mine, theirs = self.prompts_per_second, other.prompts_per_second
        return mine / theirs if mine and theirs else None

    def row(self, slowest: "Way", right: "Way", per_question: int) -> BenchmarkRow:
        """right: the way whose tokens the others are held against."""
        rate = self.prompts_per_second
        return {
            "way": self.name,
            "questions": self.paraphrases / per_question,
            "seconds": self.time.seconds if self.time else None,
            "questions/s": rate / per_question if rate else None,
            "prompts/s": rate,
            "over published": self.with_file(slowest),
            "same tokens": same_share(self.tokens, right.tokens),
            "repeats": self.time.repeats if self.time else 0,
            "note": self.note,
        }


def same_share(mine: Tokens, right: Tokens) -> float | None:
    """Share of the tokens that are the same at the same place; None without a common prompt.

    >>> same_share({(0, 0): (1, 2, 3), (0, 1): (5,)}, {(0, 0): (1, 2, 4), (9, 9): (7,)})
    0.6666666666666666
    """
    pairs = [
        pair for place in mine.keys() & right.keys()
        for pair in zip(mine[place], right[place], strict=True)
    ]  # fmt: skip
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def ratios(ways: Sequence[Way], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """How many times faster the first of each pair is than the second, where both ran."""
    of = {way.name: way for way in ways}
    found = {f"{a} over {b}": of[a].with_file(of[b]) for a, b in pairs if a in of and b in of}
    return {name: ratio for name, ratio in found.items() if ratio}

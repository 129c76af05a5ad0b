"""Which paraphrases of a question are taken, where a data set has manual and automatic ones.

Manual ones are the first in the order of the data set, as in published results, so paraphrase 0 is
the same question in every run. Automatic ones, of which there are more, are drawn.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import UsageError

MOST = 64


@dataclass(frozen=True)
class Selection:
    """So many manual and so many automatic paraphrases; raises UsageError for none or too many."""

    num_manual: int
    num_auto: int

    def __post_init__(self) -> None:
        if min(self.num_manual, self.num_auto) < 0 or not 1 <= self.total <= MOST:
            raise UsageError(
                f"--num-manual {self.num_manual} and --num-auto {self.num_auto} make "
                f"{self.total} paraphrases; each must be at least 0, both together 1 to {MOST}"
            )

    @property
    def total(self) -> int:
        return self.num_manual + self.num_auto

    def label(self, num_few_shot: int) -> str:
        """The selection as run names spell it: manual and automatic paraphrases, shots.

        >>> Selection(5, 2).label(num_few_shot=3)
        'm5a2s3'
        """
        return f"m{self.num_manual}a{self.num_auto}s{num_few_shot}"

    def choose(
        self, uuid: str, manual: Sequence[str], auto: Sequence[str]
    ) -> tuple[tuple[str, ...], int]:
        """The paraphrases chosen, manual ones first, and how many of them are manual.

        The first manual ones as they stand, and the first automatic ones of an order that `uuid`
        alone decides; all where there are fewer. So what is chosen for 2 is the beginning of what
        is chosen for 5.

            >>> Selection(2, 1).choose("u-1", ["m 0", "m 1", "m 2"], ["a 0", "a 1"])
            (('m 0', 'm 1', 'a 1'), 2)
        """
        first = tuple(manual[: self.num_manual])
        then = _shuffled(auto, f"{uuid}/auto")[: self.num_auto]
        return (*first, *then), len(first)


def _shuffled(texts: Sequence[str], seed: str) -> list[str]:
    """The texts in an order drawn from the seed, without replacement.

    Fisher and Yates with `Random.random`, the one method whose values Python promises to keep
    from version to version; `shuffle` and `sample` have changed before. The generator is
    seeded with the first 8 bytes of the sha256 of the seed.

        >>> _shuffled(["a", "b", "c", "d"], "u-1/auto")
        ['a', 'c', 'd', 'b']
    """
    generator = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    order = list(texts)
    for last in range(len(order) - 1, 0, -1):
        other = int(generator.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order

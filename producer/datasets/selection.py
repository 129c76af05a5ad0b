"""Selection: how many manual and automatic paraphrases of each sample a run takes.

Manual paraphrases keep the order of the data set and the first ones are taken, as in published
results, so paraphrase 0 is the same question in every run. Automatic ones, of which there are
more, are drawn.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from common.errors import UsageError
from common.records import Sample

MOST = 64


@dataclass(frozen=True)
class Selection:
    """Numbers of manual and automatic paraphrases; raises UsageError for none or too many."""

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
        """The selection in a run name: manual paraphrases, automatic ones, shots.

        >>> Selection(5, 2).label(num_few_shot=3)
        'm5a2s3'
        """
        return f"m{self.num_manual}a{self.num_auto}s{num_few_shot}"

    def apply(self, sample: Sample) -> Sample:
        """The sample with its chosen paraphrases; unchanged if its manual ones are not known.

        >>> Selection(1, 1).apply(Sample(("m 0", "m 1", "a 0"), num_manual=2)).paraphrases
        ('m 0', 'a 0')
        """
        if sample.num_manual is None:
            return sample
        manual = sample.paraphrases[: sample.num_manual]
        auto = sample.paraphrases[sample.num_manual :]
        paraphrases, num_manual = self.choose(sample.uuid, manual, auto)
        return replace(sample, paraphrases=paraphrases, num_manual=num_manual)

    def choose(
        self, uuid: str, manual: Sequence[str], auto: Sequence[str]
    ) -> tuple[tuple[str, ...], int]:
        """The chosen paraphrases, manual ones first, and how many of them are manual.

        Takes the first manual paraphrases, and the first automatic ones in an order that `uuid`
        alone decides; all where there are fewer. So a choice of 2 is the beginning of a choice
        of 5.

            >>> Selection(2, 1).choose("u-1", ["m 0", "m 1", "m 2"], ["a 0", "a 1"])
            (('m 0', 'm 1', 'a 1'), 2)
        """
        first = tuple(manual[: self.num_manual])
        then = _shuffled(auto, f"{uuid}/auto")[: self.num_auto]
        return (*first, *then), len(first)


def _shuffled(texts: Sequence[str], seed: str) -> list[str]:
    """The texts in an order that the seed alone decides.

    Fisher and Yates with `Random.random`, the one method whose values Python promises to keep
    from version to version; `shuffle` and `sample` have changed before. The first 8 bytes of the
    sha256 of `seed` seed the generator.

        >>> _shuffled(["a", "b", "c", "d"], "u-1/auto")
        ['a', 'c', 'd', 'b']
    """
    generator = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    order = list(texts)
    for last in range(len(order) - 1, 0, -1):
        other = int(generator.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order

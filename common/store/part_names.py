"""Names of parts: what a listing tells about them, so that progress opens none.

`000000000-000000063-n64-f2-a1-1f2e3d4c-9a8b7c6d5e4f.arrow` holds 64 rows between the first and the
last, two of them with an error, answered at the first attempt; then a digest of the exact rows,
and the run's generation.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PATTERN = re.compile(
    r"(\d{9,})-(\d{9,})-n(\d+)-f(\d+)-a(\d+)-([0-9a-f]{8})-([0-9a-f]{12})\.arrow"
)


@dataclass(frozen=True)
class PartName:
    """The file name of a part.

    first, last: the lowest and the highest row. num_failed: of its rows, those with an error.
    attempt: 1, and one more for each retry of the run that came before.
    digest: tells parts of the same range apart.
    """

    first: int
    last: int
    num_rows: int
    num_failed: int
    attempt: int
    digest: str
    generation: str

    @classmethod
    def of(cls, rows: Sequence[int], num_failed: int, attempt: int, generation: str) -> "PartName":
        """Return the name of a part that holds exactly `rows` (sorted) of a run.

        >>> str(PartName.of([0, 1, 5], 2, 1, "9a8b7c6d5e4f"))
        '000000000-000000005-n3-f2-a1-49f87b8b-9a8b7c6d5e4f.arrow'
        """
        digest = hashlib.sha256(",".join(map(str, rows)).encode()).hexdigest()[:8]
        return cls(rows[0], rows[-1], len(rows), num_failed, attempt, digest, generation)

    @classmethod
    def parse(cls, path: str) -> "PartName | None":
        """Read the name at the end of a path; None if it is not that of a part."""
        match = _PATTERN.fullmatch(path.rpartition("/")[2])
        if match is None:
            return None
        *numbers, digest, generation = match.groups()
        first, last, num_rows, num_failed, attempt = map(int, numbers)
        return cls(first, last, num_rows, num_failed, attempt, digest, generation)

    def __str__(self) -> str:
        return (
            f"{self.first:09d}-{self.last:09d}-n{self.num_rows}-f{self.num_failed}"
            f"-a{self.attempt}-{self.digest}-{self.generation}.arrow"
        )

    @property
    def has_every_row(self) -> bool:
        """Whether it holds every row from its first to its last, so that the name tells them."""
        return self.num_rows == self.last - self.first + 1

"""Messages on the queue: names of runs and row numbers, no paths and no code."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.limits import MAX_ROWS

RowRange = tuple[int, int]
MAX_RUNS = 16
MAX_SHOWN = 200


class ShardMessage(BaseModel):
    """The message of one shard.

    runs: keys of the runs to answer, from one prefill. rows: [first, past the last] ranges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    runs: list[str] = Field(min_length=1, max_length=MAX_RUNS)
    rows: list[RowRange] = Field(min_length=1, max_length=MAX_ROWS)

    @classmethod
    def of(cls, runs: Iterable[str], rows: Iterable[int]) -> "ShardMessage":
        return cls(runs=list(runs), rows=ranges(rows))

    @field_validator("rows")
    @classmethod
    def _bounded(cls, rows: list[RowRange]) -> list[RowRange]:
        """Refuse a bad range, and more than MAX_ROWS rows: two numbers can name any amount."""
        if any(not 0 <= first < stop for first, stop in rows):
            raise ValueError("a range of rows must be [first, past the last], first >= 0")
        if sum(stop - first for first, stop in rows) > MAX_ROWS:
            raise ValueError(f"a message names at most {MAX_ROWS} rows")
        return rows

    def shown(self) -> str:
        """Runs and rows, as Flower and logs show a message.

        >>> ShardMessage.of(["webqa/m/avg-5"], [0, 1, 2, 7]).shown()
        'webqa/m/avg-5 rows 0-2 7'
        """
        ranges = (str(a) if stop == a + 1 else f"{a}-{stop - 1}" for a, stop in self.rows)
        rows = " ".join(islice(ranges, MAX_SHOWN))[: MAX_SHOWN // 4]
        return f"{' '.join(self.runs)[: MAX_SHOWN - len(rows)]} rows {rows}"

    def row_numbers(self) -> list[int]:
        """Return each row once, in order."""
        return sorted({row for first, stop in self.rows for row in range(first, stop)})


SendShards = Callable[[Sequence[ShardMessage], str], None]
"""Puts shards on a queue, which is named second. Raises redis.RedisError if the broker does not
take them."""


def ranges(rows: Iterable[int]) -> list[RowRange]:
    """Join sorted rows into [first, past the last] ranges.

    >>> ranges([0, 1, 2, 7])
    [(0, 3), (7, 8)]
    """
    joined: list[RowRange] = []
    for row in rows:
        if joined and joined[-1][1] == row:
            joined[-1] = (joined[-1][0], row + 1)
        else:
            joined.append((row, row + 1))
    return joined

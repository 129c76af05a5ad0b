"""The message on the queue: names of runs and row numbers, nothing that is opened or run."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, field_validator

RowRange = tuple[int, int]
MAX_ROWS = 100_000
MAX_RUNS = 16


class ShardMessage(BaseModel):
    """One shard. runs are answered from one prefill; rows are [first, past the last] ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    runs: list[str] = Field(min_length=1, max_length=MAX_RUNS)
    rows: list[RowRange] = Field(min_length=1, max_length=MAX_ROWS)

    @classmethod
    def of(cls, runs: Iterable[str], rows: Iterable[int]) -> "ShardMessage":
        return cls(runs=list(runs), rows=ranges(rows))

    @field_validator("rows")
    @classmethod
    def _bounded(cls, rows: list[RowRange]) -> list[RowRange]:
        """A range is two numbers: without a limit it could name more rows than fit memory."""
        if any(not 0 <= first < stop for first, stop in rows):
            raise ValueError("a range of rows must be [first, past the last], first >= 0")
        if sum(stop - first for first, stop in rows) > MAX_ROWS:
            raise ValueError(f"a message names at most {MAX_ROWS} rows")
        return rows

    def row_numbers(self) -> list[int]:
        """Each row once, in order."""
        return sorted({row for first, stop in self.rows for row in range(first, stop)})


def ranges(rows: Iterable[int]) -> list[RowRange]:
    """Sorted rows as [first, past the last] ranges.

    >>> ranges([0, 1, 2, 7])
    [(0, 3), (7, 8)]
    """
    found: list[RowRange] = []
    for row in rows:
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found

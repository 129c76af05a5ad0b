"""Packing: which neighbours go together, by what they need."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def split_by_budget(
    items: Sequence[T], size: Callable[[T], int], budget: int
) -> Iterator[list[T]]:
    """Cut a sequence into runs whose sizes add up to at most `budget`, or single items."""
    run: list[T] = []
    used = 0
    for item in items:
        needed = size(item)
        if run and used + needed > budget:
            yield run
            run, used = [], 0
        run.append(item)
        used += needed
    if run:
        yield run

"""Packing: neighbouring items grouped under a budget."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def split_by_budget(
    items: Sequence[T], size: Callable[[T], int], budget: int
) -> Iterator[list[T]]:
    """Yield groups of neighbouring items whose sizes add up to at most `budget`.

    An item larger than the budget is a group of its own.
    """
    group: list[T] = []
    used = 0
    for item in items:
        needed = size(item)
        if group and used + needed > budget:
            yield group
            group, used = [], 0
        group.append(item)
        used += needed
    if group:
        yield group

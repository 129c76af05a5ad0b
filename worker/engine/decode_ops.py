"""The two operations of a decode step that can be compiled; both forms give the same answer."""

from typing import NamedTuple

from worker.engine.cascade import Attend, cascade, compiled_cascade
from worker.engine.fusion import PickBest, compiled_pick_best, pick_best


class DecodeOps(NamedTuple):
    """Cascade attention, called in every layer, and the choice of the next token."""

    attend: Attend
    pick_best: PickBest


EAGER = DecodeOps(cascade, pick_best)


def compiled_ops() -> DecodeOps:
    """Return the operations that torch compiles at their first calls."""
    return DecodeOps(compiled_cascade(), compiled_pick_best())

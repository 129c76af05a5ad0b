"""The two operations of a decode step that can be compiled; eager and compiled agree."""

from typing import NamedTuple

from worker.engine.attention.cascade import AttendCascade, cascade, compiled_cascade
from worker.engine.sampler import PickBest, compiled_pick_best, pick_best


class DecodeOps(NamedTuple):
    """Cascade attention, called in every layer, and the choice of the best next token."""

    attend: AttendCascade
    pick_best: PickBest


EAGER = DecodeOps(cascade, pick_best)


def compiled_ops() -> DecodeOps:
    """Return both operations in their compiled form; torch compiles each at its first call."""
    return DecodeOps(compiled_cascade(), compiled_pick_best())

"""The inner loops of decoding, as written or compiled; both give the same answer."""

from typing import NamedTuple

from worker.engine.cascade import Attend, cascade, compiled_cascade
from worker.engine.fusion import PickBest, compiled_pick_best, pick_best


class InnerLoops(NamedTuple):
    """What is called in every layer and every step."""

    attend: Attend
    pick_best: PickBest


EAGER = InnerLoops(cascade, pick_best)


def compiled_inner_loops() -> InnerLoops:
    """Compiled at their first calls."""
    return InnerLoops(compiled_cascade(), compiled_pick_best())

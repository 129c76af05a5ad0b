"""Bisecting: one bad sample is one outcome, not the end of its neighbours.

A call that fails is cut in two until the sample that fails is alone.
"""

import logging
from collections.abc import Sequence

from common.errors import RetryShard, StopRun
from worker.engine.engine import Engine
from worker.engine.request import Counts, Question, Request
from worker.rows import Outcome, describe

logger = logging.getLogger(__name__)


def answer_bisected(
    engine: Engine, questions: Sequence[Question], request: Request, counts: Counts
) -> list[Outcome]:
    """An outcome per sample: its answers by method, or what was wrong with it."""
    try:
        return list(engine.answer(questions, request, counts))
    except (StopRun, RetryShard):
        raise
    except Exception as error:
        if len(questions) == 1:
            logger.warning("a sample cannot be answered: %s", describe(error))
            return [error]
        middle = len(questions) // 2
        halves = questions[:middle], questions[middle:]
        return [o for half in halves for o in answer_bisected(engine, half, request, counts)]

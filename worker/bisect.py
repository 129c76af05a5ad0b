"""Bisecting: one bad sample is one outcome, not the end of its neighbours.

A call that fails is cut in two until the sample that fails is alone. One that runs out of
memory is tried again with half of the budget first.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import RetryShard, StopRun
from common.records import Sample
from worker.engine.budget import Budget
from worker.engine.engine import Engine
from worker.engine.request import Counts, Request
from worker.model.memory import is_out_of_memory, release
from worker.results import Outcome, describe
from worker.sick_device import end_process_if_sick

logger = logging.getLogger(__name__)


def answer_or_bisect(
    engine: Engine, samples: Sequence[Sample], request: Request, counts: Counts
) -> list[Outcome]:
    """An outcome per sample: its answers by method, or what was wrong with it."""
    return Bisector(engine, request, counts).answer(samples)


@dataclass(frozen=True)
class Bisector:
    """Answers samples by one request; cuts a call that fails in two until its fault is alone."""

    engine: Engine
    request: Request
    counts: Counts

    def answer(self, samples: Sequence[Sample]) -> list[Outcome]:
        found = self._try(samples)
        if isinstance(found, Exception) and is_out_of_memory(found):
            return self._answer_with_less(samples, found)
        return self._bisect(samples, found) if isinstance(found, Exception) else found

    def _try(self, samples: Sequence[Sample]) -> list[Outcome] | Exception:
        """The outcomes, or the error; returned, because one being handled holds its memory.

        A sick device ends the process: every later sample would fail alike, as if it were at
        fault.
        """
        try:
            return list(self.engine.answer(samples, self.request, self.counts))
        except (StopRun, RetryShard):
            raise
        except Exception as error:
            end_process_if_sick(error)
            return error

    def _answer_with_less(
        self, samples: Sequence[Sample], found: list[Outcome] | Exception
    ) -> list[Outcome]:
        """Halve the budget until it fits memory. It stays so, unless a sample is at fault."""
        before = Budget.of(self.engine)
        while isinstance(found, Exception) and is_out_of_memory(found):
            release(found)
            less = Budget.of(self.engine).halved()
            if less == Budget.of(self.engine):
                break
            less.give_to(self.engine)
            logger.warning("out of memory, going on with half of the budget: %s", less)
            found = self._try(samples)
        if isinstance(found, Exception):
            found = self._bisect(samples, found)
        if before != Budget.of(self.engine) and any(map(is_out_of_memory, found)):
            logger.warning("a sample alone is too large; the budget is again %s", before)
            before.give_to(self.engine)
        return found

    def _bisect(self, samples: Sequence[Sample], error: Exception) -> list[Outcome]:
        if len(samples) == 1:
            logger.warning("a sample cannot be answered: %s", describe(error))
            return [error]
        middle = len(samples) // 2
        return [o for half in (samples[:middle], samples[middle:]) for o in self.answer(half)]

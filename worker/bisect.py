"""Bisecting: a bad sample costs one row, and its neighbours are answered.

A failing engine call is cut in two until the failing sample is alone. A call that runs out of
memory is first repeated with half of the budget.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from billiard.exceptions import SoftTimeLimitExceeded

from common.errors import RetryShard, StopRun
from common.records import Sample
from worker.engine.budget import Budget
from worker.engine.engine import Engine
from worker.engine.request import Counts, Request
from worker.model.memory import is_out_of_memory, release
from worker.results import SampleOutcome, describe
from worker.sick_device import end_process_if_sick
from worker.stray_exits import as_errors

logger = logging.getLogger(__name__)


def answer_or_bisect(
    engine: Engine, samples: Sequence[Sample], request: Request, counts: Counts
) -> list[SampleOutcome]:
    """The outcome of each sample: its answers by method, or its error."""
    return Bisector(engine, request, counts).answer(samples)


@dataclass(frozen=True)
class Bisector:
    """Answers samples by one request, and cuts failing calls in two."""

    engine: Engine
    request: Request
    counts: Counts

    def answer(self, samples: Sequence[Sample]) -> list[SampleOutcome]:
        """The outcome of each sample. Raises StopRun or RetryShard if the engine does."""
        result = self._try(samples)
        if isinstance(result, Exception) and is_out_of_memory(result):
            return self._answer_with_less(samples, result)
        return self._bisect(samples, result) if isinstance(result, Exception) else result

    def _try(self, samples: Sequence[Sample]) -> list[SampleOutcome] | Exception:
        """Outcomes of an engine call, or its error.

        The error is returned, not raised, because an exception being handled keeps the memory
        of its frames. A sick device ends the process: every later sample would fail as well,
        as if it were at fault.
        """
        try:
            with as_errors():
                return list(self.engine.answer(samples, self.request, self.counts))
        except (StopRun, RetryShard, SoftTimeLimitExceeded):
            raise  # Of these none is a sample's.
        except Exception as error:
            end_process_if_sick(error)
            return error

    def _answer_with_less(
        self, samples: Sequence[Sample], result: list[SampleOutcome] | Exception
    ) -> list[SampleOutcome]:
        """Halve the budget until the samples fit memory. Keep it, unless a sample never fits."""
        before = Budget.of(self.engine)
        while isinstance(result, Exception) and is_out_of_memory(result):
            release(result)
            less = Budget.of(self.engine).halved()
            if less == Budget.of(self.engine):
                break
            less.give_to(self.engine)
            logger.warning("out of memory, going on with half of the budget: %s", less)
            result = self._try(samples)
        outcomes = self._bisect(samples, result) if isinstance(result, Exception) else result
        if before != Budget.of(self.engine) and any(map(is_out_of_memory, outcomes)):
            logger.warning("a sample alone is too large; the budget is again %s", before)
            before.give_to(self.engine)
        return outcomes

    def _bisect(self, samples: Sequence[Sample], error: Exception) -> list[SampleOutcome]:
        """Answer each half of the samples; the error is a lone sample's outcome."""
        if len(samples) == 1:
            logger.warning("a sample cannot be answered: %s", describe(error))
            return [error]
        middle = len(samples) // 2
        return [o for half in (samples[:middle], samples[middle:]) for o in self.answer(half)]

"""Bisecting: a bad sample costs one row, and its neighbours are answered.

A failing engine call is cut in two until the failing sample is alone. A call that runs out of
memory is first repeated with half of the budget.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from billiard.exceptions import SoftTimeLimitExceeded

from common.errors import RetryShard, StopRun
from common.records import Sample
from worker.engine.engine import Engine
from worker.engine.request import OnAnswered, Request
from worker.engine.stats import EngineStats
from worker.model.memory import is_out_of_memory, release
from worker.results import SampleOutcome, describe
from worker.sick_device import end_process_if_sick
from worker.stray_exits import as_errors

logger = logging.getLogger(__name__)


@dataclass
class Bisector:
    """Answers samples, and cuts failing calls in two.

    on_answered: hears how many samples are answered; a number below 0 takes back those of a call
    that failed. stats: the work of all calls that succeeded.
    """

    engine: Engine
    on_answered: OnAnswered
    stats: EngineStats = field(default_factory=EngineStats)

    def answer(self, samples: Sequence[Sample], request: Request) -> list[SampleOutcome]:
        """The outcome of each sample: its answers by method, or its error.

        Raises StopRun or RetryShard if the engine does.
        """
        result = self._try(samples, request)
        if isinstance(result, Exception) and is_out_of_memory(result):
            return self._answer_with_less(samples, request, result)
        return self._bisect(samples, request, result) if isinstance(result, Exception) else result

    def _try(self, samples: Sequence[Sample], request: Request) -> list[SampleOutcome] | Exception:
        """Outcomes of an engine call, or its error.

        The error is returned, not raised, because an exception being handled keeps the memory
        of its frames. A sick device ends the process: every later sample would fail as well,
        as if it were at fault.
        """
        answered: list[int] = []

        def note(samples: int) -> None:
            answered.append(samples)
            self.on_answered(samples)

        try:
            with as_errors():
                output = self.engine.run(samples, request, note)
        except (StopRun, RetryShard, SoftTimeLimitExceeded):
            raise  # Of these none is a sample's.
        except Exception as error:
            end_process_if_sick(error)
            self.on_answered(-sum(answered))
            return error
        self.stats += output.stats
        return list(output.answers)

    def _answer_with_less(
        self,
        samples: Sequence[Sample],
        request: Request,
        result: list[SampleOutcome] | Exception,
    ) -> list[SampleOutcome]:
        """Halve the budget until the samples fit memory. Keep it, unless a sample never fits."""
        before = self.engine.budget
        while isinstance(result, Exception) and is_out_of_memory(result):
            release(result)
            less = self.engine.budget.halved()
            if less == self.engine.budget:
                break
            self.engine.budget = less
            logger.warning("out of memory, going on with half of the budget: %s", less)
            result = self._try(samples, request)
        if isinstance(result, Exception):
            outcomes = self._bisect(samples, request, result)
        else:
            outcomes = result
        if before != self.engine.budget and any(map(is_out_of_memory, outcomes)):
            logger.warning("a sample alone is too large; the budget is again %s", before)
            self.engine.budget = before
        return outcomes

    def _bisect(
        self, samples: Sequence[Sample], request: Request, error: Exception
    ) -> list[SampleOutcome]:
        """Answer each half of the samples; the error is a lone sample's outcome."""
        if len(samples) == 1:
            logger.warning("a sample cannot be answered: %s", describe(error))
            return [error]
        middle = len(samples) // 2
        halves = samples[:middle], samples[middle:]
        return [outcome for half in halves for outcome in self.answer(half, request)]

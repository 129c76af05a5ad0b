"""Shard report: tells the run counters how many samples of the shard at work are answered."""

import logging
import time
from collections.abc import Callable
from types import TracebackType

import redis

from common.errors import CancelledRun
from common.methods import PARAPHRASES
from common.run_counters import RunCounters
from worker.shards import Shard

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 1.0


class ShardReport:
    """Tells the run counters of each group of answered samples of a shard.

    At most once a second, and no more for this shard once the broker does not answer. Used in a
    `with` block: the shard is at work inside of the block.
    """

    def __init__(
        self, counters: RunCounters, shard: Shard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counters = counters
        self._runs = [str(run.key) for run in shard.runs]
        self._shard = shard
        self._answers_of_a_sample = _answers_of_a_sample(shard)
        self._answers = 0
        self._clock = clock
        self._next = clock() + SECONDS_BETWEEN
        self._is_heard = True

    def __enter__(self) -> "ShardReport":
        self._tell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hint(lambda: self._counters.end_answering(self._runs, self._shard.name))

    def answered(self, samples: int) -> None:
        """Count answered samples, and tell the number.

        Raises CancelledRun if every run is cancelled.
        """
        self._answers += samples
        if self._clock() >= self._next:
            self._tell()
            self._next = self._clock() + SECONDS_BETWEEN

    def _tell(self) -> None:
        samples = min(self._answers // self._answers_of_a_sample, len(self._shard.rows))
        self._hint(lambda: self._counters.note_answered(self._runs, self._shard.name, samples))
        if self._is_heard and self._hint(lambda: self._counters.all_cancelled(self._runs)):
            raise CancelledRun(f"run {' '.join(self._runs)} was cancelled while it was answered")

    def _hint(self, call: Callable[[], object]) -> object:
        """Call the counters, unless they did not answer before: each try may take seconds."""
        if self._is_heard:
            try:
                return call()
            except redis.RedisError as error:
                self._is_heard = False
                logger.warning("the progress of this shard is not shown: %s", error)
        return None


def _answers_of_a_sample(shard: Shard) -> int:
    """Least number of times that the engine answers a sample: each paraphrase has its own call."""
    spec = shard.runs[0].spec
    return max(1, spec.num_paraphrases - 1) if spec.method == PARAPHRASES.name else 1

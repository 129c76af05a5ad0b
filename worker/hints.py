"""Hints: calls of the run counters that work goes on without, as the store decides."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import redis

from common.errors import first_line
from common.run_counters import RunCounters

logger = logging.getLogger(__name__)

T = TypeVar("T")


def hint(call: Callable[[], T], otherwise: T, without: str = "counters not reached") -> T:
    """Result of a call of the counters, or `otherwise` if the broker cannot be reached.

    without: what is missing then, for the log.
    """
    try:
        return call()
    except redis.RedisError as error:
        logger.warning("%s, going on without: %s", without, first_line(error))
        return otherwise


def tell_delay(counters: RunCounters, runs: Iterable[object], reason: str) -> None:
    """Have `--wait` show why runs do not go on just now. runs: or their keys."""

    def tell() -> None:
        for run in runs:
            counters.delay(str(run), reason)

    hint(tell, None, "the producer cannot be told")

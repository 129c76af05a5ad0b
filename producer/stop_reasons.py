"""Why a run is stopped, for who only looks on: a broker that is away says nothing."""

from collections.abc import Callable

import redis

from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder


def stop_reason_of(run: RunFolder, settings: Settings) -> Callable[[], str | None]:
    """Return a function that tells why a run is stopped; None if it is not, or nobody knows."""
    counters = RunCounters.connect(settings.broker, settings.namespace)

    def reason() -> str | None:
        try:
            return counters.stop_reason(str(run.key))
        except redis.RedisError:
            return None

    return reason

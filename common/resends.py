"""Resends: who sends lost rows again, and how often in vain. Kept in Redis, under the namespace:

se:reconciling        held by who looks through the runs just now
se:resending:<run>    held by who has just sent rows of the run again
se:resends:<run>      how many rows were missing at the last resend, and how often it was so many
"""

from redis.lock import Lock

from common.run_counters import RunCounters

LOCK_SECONDS = 60.0
MOST_IN_VAIN = 10
"""More than a shard that ends its process is started before it is cut in two."""

_HOLD_SECONDS = 8
_LIFETIME = 24 * 3600


def reconciling_lock(counters: RunCounters) -> Lock:
    """The lock of who looks through the runs; it spares work, and nothing depends on it.

    It does not wait, is given up after LOCK_SECONDS, and released by its owner alone.
    """
    name = f"{counters.prefix}reconciling"
    return Lock(counters.client, name, timeout=LOCK_SECONDS, blocking=False)


def claim_resend(counters: RunCounters, run: str) -> bool:
    """Whether the caller may send rows of the run again: nobody has in the last seconds.

    After that the messages can be seen in the queue, or at a worker.
    """
    key = f"{counters.prefix}resending:{run}"
    return bool(counters.client.set(key, 1, nx=True, ex=_HOLD_SECONDS))


def resends_in_vain(counters: RunCounters, run: str, missing: int) -> int:
    """Count a resend, and return how many before it have brought no row.

    missing: number of rows that are missing now.
    """
    key = f"{counters.prefix}resends:{run}"
    if counters.client.hget(key, "missing") != str(missing).encode():
        forget_resends(counters, run)
    pipe = counters.client.pipeline()
    pipe.hset(key, "missing", str(missing))
    pipe.hincrby(key, "times", 1)
    pipe.expire(key, _LIFETIME)
    return int(pipe.execute()[1]) - 1


def forget_resends(counters: RunCounters, run: str) -> None:
    counters.client.delete(f"{counters.prefix}resends:{run}")

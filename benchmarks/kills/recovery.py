"""Kills: how long until a killed worker's shard is taken up by another."""

import random
import time

from benchmarks.kills.worker_pair import WorkerPair

LONGEST_SECONDS = 300.0


def seconds_of_kills(pair: WorkerPair, count: int, held_seconds: float, seed: int) -> list[float]:
    """Kill the worker that holds a shard `count` times; returns the seconds until another had it.

    held_seconds: each kill comes at a random moment of so many seconds after the shard began.
    Raises UsageError if a shard is not taken up.
    """
    moments = random.Random(seed)
    return [_one_kill(pair, shard, moments.uniform(0, held_seconds)) for shard in range(count)]


def _one_kill(pair: WorkerPair, shard: int, after: float) -> float:
    pair.send(shard)
    first = pair.await_start(shard, LONGEST_SECONDS)
    time.sleep(after)
    killed = pair.kill(first.worker)
    log = pair.start()
    second = pair.await_start(shard, LONGEST_SECONDS)
    pair.await_ready(log)
    pair.let_go(shard)
    return second.at - killed


def share(values: list[float], part: float) -> float:
    """Return the smallest value that at least this part of the values does not exceed.

    >>> share([3.0, 1.0, 2.0, 4.0], 0.5), share([3.0, 1.0, 2.0, 4.0], 0.9)
    (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(part * 1000) * len(ordered) // 1000) - 1)]

"""All checks of `producer doctor`, in order. One that fails itself hides no other."""

from collections.abc import Callable, Iterable, Iterator

import redis

from common.broker_url import parse_broker_url
from common.errors import UsageError, first_line
from common.live_workers import live_workers
from common.run_counters import RunCounters
from common.settings import Settings
from producer.doctor.finding import Finding, fault
from producer.doctor.queues import check_dead_letters, check_queues, queue_lengths
from producer.doctor.server import check_server
from producer.doctor.stores import check_same_store, check_store
from producer.doctor.workers import check_workers


def examine(settings: Settings) -> list[Finding]:
    """Look at server, store, workers and queues. Prints nothing and mends nothing.

    Raises UsageError if the broker's URL is none.
    """
    counters = RunCounters.connect(settings.broker, settings.namespace)
    shown = parse_broker_url(settings.broker).shown
    findings = list(_tried("store", lambda: check_store(settings.store)))
    try:
        counters.client.ping()
    except redis.RedisError as error:
        return [_unreached(shown, error), *findings]
    server = _tried("redis", lambda: check_server(counters.client, shown))
    return [*server, *findings, *_tried("workers", lambda: _with_workers(settings, counters))]


def _with_workers(settings: Settings, counters: RunCounters) -> Iterator[Finding]:
    workers = live_workers(counters)
    lengths = queue_lengths(counters.client, counters.prefix)
    yield from _tried("store", lambda: check_same_store(settings.store, workers))
    yield from check_workers(workers, sum(lengths.values()))
    yield from check_queues(lengths, counters.queue_length([]), workers)
    yield from check_dead_letters(counters.client, counters.prefix)


def _tried(subject: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (redis.RedisError, OSError, UsageError) as error:
        yield fault(subject, f"cannot be examined ({first_line(error)})", "give the right to it")


def _unreached(shown: str, error: redis.RedisError) -> Finding:
    return fault(
        "redis", f"{shown} does not answer ({first_line(error)}), so workers and queues are not "
        "known", "start it, or name another with --broker or SELF_ENSEMBLE_BROKER",
    )  # fmt: skip

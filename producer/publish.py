"""Put the messages of runs on the queue of their model, on a broker that answers."""

from collections.abc import Sequence

import redis

from common.broker import queue_of
from common.broker_url import parse_broker_url
from common.errors import UsageError
from common.messages import ShardMessage
from common.models import ModelSource
from common.run_counters import RunCounters
from common.settings import Settings
from common.shard_sender import shard_sender
from common.store import RunFolder
from common.store.enqueued import note_enqueued
from common.store.identity import store_id
from common.store.progress import done_rows


def check_broker(settings: Settings) -> RunCounters:
    """Return the run counters of the broker; raises UsageError if the broker does not answer."""
    counters = RunCounters.connect(settings.broker, settings.namespace)
    try:
        counters.queue_length([])
    except redis.RedisError as error:
        raise UsageError(_no_answer(settings, error)) from None
    return counters


def publish(
    settings: Settings, counters: RunCounters, model: ModelSource, runs: Sequence[RunFolder],
    messages: Sequence[ShardMessage],
) -> None:  # fmt: skip
    """Reset the run counters and send every message. runs: of one store.

    Repeating it costs no work: workers skip rows that a part already holds. Raises UsageError if
    the broker does not answer.
    """
    try:
        identity = store_id(runs[0].store) if runs else ""
        for run in runs:
            counters.reset(str(run.key), done_rows(run))
            counters.note_store(str(run.key), identity)
            if settings.reconcile:
                note_enqueued(run, settings.namespace)
        with shard_sender(settings) as send:
            send(messages, queue_of(model))
    except redis.RedisError as error:
        raise UsageError(
            f"{_no_answer(settings, error)}; enqueue again to send what was not sent"
        ) from None


def send_again(settings: Settings, messages: Sequence[ShardMessage], queue: str) -> None:
    """Send messages of runs that were enqueued before: what is known of them stays.

    Raises redis.RedisError if the broker does not answer.
    """
    with shard_sender(settings) as send:
        send(messages, queue)


def _no_answer(settings: Settings, error: Exception) -> str:
    return (
        f"broker {parse_broker_url(settings.broker).shown} does not answer ({error}); start "
        "Redis, name another with --broker or SELF_ENSEMBLE_BROKER, or use `producer run`, which "
        "brings its own"
    )

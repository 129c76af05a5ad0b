"""Send messages to the queue of a model. No other module of the producer imports Celery."""

from collections.abc import Sequence

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from common.broker import ANSWER_SHARD, celery_settings, queue_of
from common.broker_url import parse_broker_url
from common.errors import UsageError
from common.messages import ShardMessage
from common.models import ModelSource
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import RunFolder
from common.store.identity import store_id
from common.store.progress import done_rows

BATCH_SIZE = 1000


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
    app = Celery("self_ensemble", set_as_current=False)
    app.conf.update(celery_settings(settings))
    try:
        identity = store_id(runs[0].store) if runs else ""
        for run in runs:
            counters.reset(str(run.key), done_rows(run))
            counters.note_store(str(run.key), identity)
        with app.producer_pool.acquire(block=True) as sender, sender.batch(max_size=BATCH_SIZE):
            for message in messages:
                app.send_task(
                    ANSWER_SHARD,
                    kwargs=message.model_dump(),
                    kwargsrepr=f"{' '.join(message.runs)} rows {message.rows}"[:200],
                    queue=queue_of(model),
                    producer=sender,
                    ignore_result=True,
                )
    except (OperationalError, redis.RedisError) as error:
        raise UsageError(
            f"{_no_answer(settings, error)}; enqueue again to send what was not sent"
        ) from None
    finally:
        app.close()


def _no_answer(settings: Settings, error: Exception) -> str:
    return (
        f"broker {parse_broker_url(settings.broker).shown} does not answer ({error}); start "
        "Redis, name another with --broker or SELF_ENSEMBLE_BROKER, or use `producer run`, which "
        "brings its own"
    )

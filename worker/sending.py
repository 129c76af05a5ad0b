"""Sends shards from a process that answers none: those of dependent runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from common.broker import ANSWER_SHARD, celery_settings, queue_of
from common.errors import RetryShard
from common.messages import ShardMessage
from common.models import ModelSource
from common.settings import Settings


@contextmanager
def sender(settings: Settings) -> Iterator[Callable[[ShardMessage, ModelSource], None]]:
    """Yield a function that puts a message on its model's queue.

    It raises RetryShard if the broker does not take the message.
    """
    app = Celery("self_ensemble", set_as_current=False)
    app.conf.update(celery_settings(settings))

    def send(message: ShardMessage, model: ModelSource) -> None:
        try:
            app.send_task(
                ANSWER_SHARD,
                kwargs=message.model_dump(),
                kwargsrepr=f"{' '.join(message.runs)} rows {message.rows}"[:200],
                queue=queue_of(model),
                ignore_result=True,
            )
        except (OperationalError, redis.RedisError) as error:
            raise RetryShard(f"the broker does not take the dependent runs: {error}") from error

    try:
        yield send
    finally:
        app.close()

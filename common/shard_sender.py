"""The shard sender: puts shards on the queue of a model, as tasks of Celery.

The one module outside of `worker` that knows Celery. Whoever decides what is sent is handed a
function of the type `common.messages.SendShards`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from common.broker import ANSWER_SHARD, celery_settings
from common.messages import SendShards, ShardMessage
from common.settings import Settings

BATCH_SIZE = 1000


@contextmanager
def shard_sender(settings: Settings) -> Iterator[SendShards]:
    """Yield a function that puts shards on a queue, for a process that is no worker.

    It connects at its first call, and raises as `send_shards`. Raises UsageError for an invalid
    broker URL.
    """
    app = Celery("self_ensemble", set_as_current=False)
    app.conf.update(celery_settings(settings))
    try:
        yield partial(send_shards, app)
    finally:
        app.close()


def send_shards(app: Celery, messages: Sequence[ShardMessage], queue: str) -> None:
    """Put shards on a queue, BATCH_SIZE in one round trip.

    Sending one again costs no work: workers skip rows that a part already holds. Raises
    redis.RedisError if the broker does not take them; some of them may be sent then.
    """
    try:
        with app.producer_pool.acquire(block=True) as sender, sender.batch(max_size=BATCH_SIZE):
            for message in messages:
                app.send_task(
                    ANSWER_SHARD,
                    kwargs=message.model_dump(),
                    kwargsrepr=message.shown(),
                    queue=queue,
                    producer=sender,
                    ignore_result=True,
                )
    except OperationalError as error:
        raise redis.ConnectionError(str(error)) from error

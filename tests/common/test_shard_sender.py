"""The shard sender, against a real server: what lies on the queue, and a broker that is down."""

import base64
import json
from uuid import uuid4

import pytest
import redis

from common.messages import ShardMessage
from common.settings import Settings
from common.shard_sender import BATCH_SIZE, shard_sender

QUEUE = "model.other"


@pytest.fixture
def settings(broker_url):
    return Settings(broker=broker_url, namespace=f"test-{uuid4().hex[:12]}")


def queued(settings):
    key = f"{settings.namespace}:{QUEUE}"
    raw = redis.Redis.from_url(settings.broker).lrange(key, 0, -1)
    return [json.loads(text) for text in reversed(raw)]


def test_shards_lie_on_the_queue_in_order_with_their_runs_and_rows_to_be_shown(settings):
    shards = [ShardMessage.of(["quiz/m/avg-3"], [row]) for row in range(BATCH_SIZE + 1)]
    with shard_sender(settings) as send:
        send(shards, QUEUE)
        send(shards[:1], QUEUE)
    envelopes = queued(settings)
    bodies = [json.loads(base64.b64decode(envelope["body"]))[1] for envelope in envelopes]
    assert bodies == [json.loads(shard.model_dump_json()) for shard in [*shards, shards[0]]]
    assert [envelope["headers"]["kwargsrepr"] for envelope in envelopes[-2:]] == [
        f"quiz/m/avg-3 rows {BATCH_SIZE}", "quiz/m/avg-3 rows 0",
    ]  # fmt: skip


def test_a_broker_that_is_down_is_an_error_of_redis():
    with (
        shard_sender(Settings(broker="redis://127.0.0.1:1/0")) as send,
        pytest.raises(redis.RedisError),
    ):
        send([ShardMessage.of(["quiz/m/avg-3"], [0])], QUEUE)

"""Messages in Redis as kombu keeps them: in the list of a queue, or in `unacked`."""

import base64
import json

from common.messages import ShardMessage
from common.run_counters import RunCounters


def envelope(message: ShardMessage) -> dict[str, object]:
    """What kombu writes to the list of a queue, as far as it is read."""
    body = json.dumps([[], message.model_dump(), {"callbacks": None, "chain": None}])
    return {"body": base64.b64encode(body.encode()).decode(), "content-type": "application/json"}


def put_in_queue(counters: RunCounters, queue: str, message: ShardMessage) -> None:
    counters.client.lpush(counters.prefix + queue, json.dumps(envelope(message)))


def put_at_worker(counters: RunCounters, tag: str, message: ShardMessage) -> None:
    """As if a worker had taken the message and not acknowledged it."""
    value = json.dumps([envelope(message), "", "model.other"])
    counters.client.hset(counters.prefix + "unacked", tag, value)

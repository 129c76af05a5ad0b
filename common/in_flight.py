"""In flight: what the queue of a model still holds, and which rows workers hold just now.

A message is in the list of its queue, or in the hash `unacked`, from its sending until it is
acknowledged; a worker that waits to try a shard again holds it there, too. Only between BRPOP and
`unacked` it is in neither, for some milliseconds, and for ever if its worker dies in them.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from common.messages import ShardMessage
from common.run_counters import RunCounters


@dataclass(frozen=True)
class InFlight:
    """queued: number of messages in a queue. held: shards of all queues, not acknowledged yet."""

    queued: int
    held: tuple[ShardMessage, ...]

    def rows_of(self, run: str) -> list[int]:
        """Rows of a run that some worker holds, each once, in order."""
        named = (message.row_numbers() for message in self.held if run in message.runs)
        return sorted({row for rows in named for row in rows})


def read_in_flight(counters: RunCounters, queue: str) -> InFlight:
    """Read what a queue and the workers hold, in one step. Raises redis.RedisError."""
    pipe = counters.client.pipeline()
    pipe.llen(counters.prefix + queue)
    pipe.hvals(counters.prefix + "unacked")
    queued, values = pipe.execute()
    return InFlight(int(queued), tuple(_shards(values)))


def _shards(values: Iterable[bytes]) -> Iterable[ShardMessage]:
    return (shard for value in values if (shard := read_unacked(value)))


def read_unacked(value: bytes) -> ShardMessage | None:
    """Return the shard of a value of `unacked`; None for a message that names none.

    >>> read_unacked(b"[]") is None
    True
    """
    try:
        envelope: Any = json.loads(value)[0]
        _, arguments, _ = json.loads(base64.b64decode(envelope["body"]))
        return ShardMessage.model_validate_json(json.dumps(arguments))
    except (ValueError, TypeError, LookupError, RecursionError, ValidationError):
        return None

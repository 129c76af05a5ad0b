"""Dead letters: a message that cannot be used is put aside before kombu or Celery read messages.

By themselves both end the worker's main process over such a message; it goes back to its queue,
and the next worker ends. The list `se:dead` holds the messages as they came.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.objects import cached_property
from redis.exceptions import OutOfMemoryError, RedisError

from common.broker import DEAD_LETTERS, all_queues
from common.errors import described, first_line
from worker.main_process.envelopes import read_envelope
from worker.main_process.own_faults import own_faults
from worker.main_process.unacked import ServerTimeQoS

logger = logging.getLogger(__name__)

_SORTED = frozenset(all_queues())


def put_bad_messages_aside() -> None:
    """Have kombu use the channel below wherever it is asked for Redis, in this process."""
    name = f"{__name__}:{SortingTransport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name)
    logging.getLogger("celery.app.trace").addFilter(without_traceback)


def without_traceback(record: logging.LogRecord) -> bool:
    """Let a record of Celery pass, in one line if it says that a message was rejected."""
    data = getattr(record, "data", None)
    if isinstance(data, dict) and data.get("description") == "rejected":
        record.exc_info = None
    return True


class SortingQoS(ServerTimeQoS):
    """Gives back the messages of dead workers; puts aside what is no message."""

    def can_consume(self) -> bool:
        """Whether the channel may take messages; broadcasts are taken in a pause, too."""
        pausing = own_faults.pausing() and self.channel.active_queues
        return not pausing and super().can_consume()  # type: ignore[no-untyped-call]

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            raise
        except Exception as error:
            with self.channel.conn_or_acquire(client) as connected:
                raw = connected.hget(self.unacked_key, tag)
            self.channel.put_aside(raw or b"", "from a dead worker", error)
            self.ack(tag)  # type: ignore[no-untyped-call]


class SortingChannel(Channel):
    """Reads each message of a queue before kombu does, and hands on those that can be used."""

    QoS = SortingQoS

    @cached_property
    def client(self) -> Any:
        """The client that takes messages, with one more step after each that it took."""
        client = super().client
        parse = client.response_callbacks["BRPOP"]
        client.set_response_callback("BRPOP", lambda reply, **_: self._sorted(parse(reply)))
        return client

    def _sorted(self, reply: Any) -> Any:
        """Return what kombu may have: None, as if nothing had come, for what cannot be used."""
        if not reply:
            return reply
        key, raw = reply
        queue = bytes_to_str(key).removeprefix(self.global_keyprefix)
        if queue not in _SORTED:  # of another program, or with answers to `inspect ping`
            return reply
        try:
            return key, read_envelope(raw, queue)
        except Exception as error:
            self.put_aside(raw, f"on queue {queue}", error)
            return None

    def put_aside(self, raw: bytes, origin: str, error: Exception) -> None:
        """Put a message on the list of dead letters, and say so in one line."""
        place = f"is on the list {self.global_keyprefix}{DEAD_LETTERS} now"
        try:
            with self.conn_or_acquire() as client:
                client.lpush(DEAD_LETTERS, raw)
        except RedisError as full:
            place = f"is lost, for it cannot be kept: {first_line(full)}"
        logger.error("message refused: %s; it came %s and %s", first_line(error), origin, place)

    def _receive_one(self, c: Any) -> Any:
        """Take a broadcast. Every worker gets each, so one that cannot be used is dropped."""
        try:
            return super()._receive_one(c)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, Empty):
            raise
        except Exception as error:
            logger.error("broadcast refused: %s", described(error))
            return None


class SortingTransport(Transport):
    """kombu's transport for Redis, with the channel above."""

    Channel = SortingChannel
    # Connects anew, and again, where a full server refuses what `unacked` does not write.
    connection_errors = (*Transport.connection_errors, OutOfMemoryError)

"""Unacknowledged messages: noted by the server's clock, and kept while the server is full.

kombu notes each message that a worker takes, and gives back those that were noted too long ago.
By itself it tells their age by the clock of each worker, and ends the worker's main process where
Redis answers that its memory (`maxmemory`) is used up.
"""

import logging
import time
from typing import Any

from celery.worker import state
from kombu.transport.redis import QoS
from kombu.utils.json import dumps
from redis.exceptions import OutOfMemoryError

from worker.main_process.server_clock import lead_of_this_host, server_time

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0


class ServerTimeQoS(QoS):
    """Keeps the messages that this worker holds, and gives back those of dead workers."""

    _was_full = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken; waits while the server lacks the memory.

        Until then the message is on no list, and would be lost with this process.
        """
        while not self._noted(message, delivery_tag):
            state.maybe_shutdown()
            time.sleep(_WAIT_SECONDS)
        super(QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def _noted(self, message: Any, delivery_tag: str) -> bool:
        delivery = message.delivery_info
        fields = [message._raw, delivery["exchange"], delivery["routing_key"]]
        try:
            with self.channel.conn_or_acquire() as client:
                pipe = client.pipeline()
                pipe.zadd(self.unacked_index_key, {delivery_tag: server_time(client)})
                pipe.hset(self.unacked_key, delivery_tag, dumps(fields))
                pipe.execute()
        except OutOfMemoryError as full:
            self._say_full(full)
            return False
        type(self)._was_full = False
        return True

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or put it back: if the server is full, once its lease has passed."""
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
        except OutOfMemoryError as full:
            self._say_full(full)
            super(QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Give back what workers hold that were silent for too long, by the server's clock."""
        try:
            with self.channel.conn_or_acquire() as client:
                # kombu takes the timeout from this host's time.
                lead = lead_of_this_host(client)
                self.visibility_timeout = self.channel.visibility_timeout + lead
            super().restore_visible(start, num, interval)  # type: ignore[no-untyped-call]
        except OutOfMemoryError as full:
            self._say_full(full)

    def _say_full(self, full: Exception) -> None:
        if not self._was_full:
            logger.error(
                "Redis is full; this worker waits until it has memory again. Raise its maxmemory, "
                "or delete what else it holds (a shard needs about 1 kB): %s", full,
            )  # fmt: skip
        type(self)._was_full = True

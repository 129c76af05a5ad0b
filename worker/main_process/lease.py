"""The lease: tells Redis that this worker is still working on the messages it took.

kombu gives a message to another worker when it was taken longer ago than the visibility timeout,
even while a worker still answers the shard. This step refreshes the age of every message that
this worker holds. So the timeout can be short (a dead worker's shard is taken up by another within
the timeout and one sweep) while shards may take as long as they need. Celery's hard time limit
ends a child that hangs.
"""

import logging
import threading
from typing import Any

from celery import bootsteps
from celery.worker import state

from worker.main_process.server_clock import server_time

logger = logging.getLogger(__name__)


class Lease(bootsteps.StartStopStep):  # type: ignore[misc]
    """Refreshes leases four times per visibility timeout, from a thread of the main process."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        self._ended = threading.Event()

    def start(self, consumer: Any) -> None:
        self._ended = threading.Event()
        interval = consumer.app.conf.broker_transport_options["visibility_timeout"] / 4
        arguments = (consumer.task_consumer.channel, interval, self._ended)
        threading.Thread(target=keep_leases, args=arguments, name="lease", daemon=True).start()

    def stop(self, consumer: Any) -> None:
        self._ended.set()

    shutdown = stop


def keep_leases(channel: Any, interval: float, ended: threading.Event) -> None:
    """Refresh leases at each interval (seconds) until `ended` is set; errors are only logged."""
    while not ended.wait(interval):
        try:
            refresh(channel)
        except Exception:
            logger.warning("could not refresh leases, will try again", exc_info=True)


def refresh(channel: Any) -> None:
    """Set the age of every reserved message to the server's now, unless it was acknowledged."""
    # Not channel.qos: after a reconnect the new channel does not know the running tasks.
    tags = [request.message.delivery_tag for request in tuple(state.reserved_requests)]
    if tags:
        with channel.conn_or_acquire() as client:
            now = server_time(client)
            client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)

"""common.in_flight: messages in the queue and at workers, as kombu keeps them on a real server."""

import json

import pytest
from celery import Celery

from common.broker import ANSWER_SHARD, celery_settings
from common.in_flight import read_in_flight, read_unacked
from common.messages import ShardMessage
from common.settings import Settings
from tests.common.flightkit import put_at_worker, put_in_queue

RUN, OTHER, QUEUE = "webqa/m/origin", "webqa/m/avg-5", "model.other"


def test_rows_at_workers_are_those_of_every_message_that_names_the_run(counters):
    put_at_worker(counters, "a", ShardMessage.of([RUN, OTHER], [0, 1, 5]))
    put_at_worker(counters, "b", ShardMessage.of([RUN], [5, 6]))
    in_flight = read_in_flight(counters, QUEUE)
    assert in_flight.rows_of(RUN) == [0, 1, 5, 6]
    assert in_flight.rows_of(OTHER) == [0, 1, 5]
    assert in_flight.rows_of("webqa/m/max-5") == []
    assert in_flight.queued == 0


def test_only_the_messages_of_the_queue_are_counted(counters):
    put_in_queue(counters, QUEUE, ShardMessage.of([RUN], [0]))
    put_in_queue(counters, "model.qwen3_4b", ShardMessage.of([RUN], [1]))
    assert read_in_flight(counters, QUEUE).queued == 1


def test_a_message_that_kombu_has_taken_is_read(broker_url, counters):
    """Sent and taken by Celery's own code, and not acknowledged."""
    url = f"{broker_url.removesuffix('/0')}/7"
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_settings(Settings(broker=url)))
    message = ShardMessage.of([RUN], [3, 4])
    app.send_task(ANSWER_SHARD, kwargs=message.model_dump(), queue=QUEUE)
    with app.connection() as connection, connection.SimpleQueue(QUEUE) as queue:
        assert read_in_flight(counters, QUEUE).queued == 1
        queue.get(timeout=30)
        in_flight = read_in_flight(counters, QUEUE)
        assert (in_flight.queued, in_flight.rows_of(RUN)) == (0, [3, 4])


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"7", b"[[]]", b'[{"body": 3}]', b'[{"body": "bm9uZQ=="}]', b"[" * 9999]
)
def test_what_is_no_shard_names_no_rows(value):
    assert read_unacked(value) is None


def test_a_message_without_rows_names_none():
    assert read_unacked(json.dumps([{"body": "W1tdLCB7fSwge31d"}, "", ""]).encode()) is None

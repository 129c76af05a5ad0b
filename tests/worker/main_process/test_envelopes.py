"""Envelopes: what Celery gets of a message, and which messages it never gets."""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import redis

from common.broker import ANSWER_SHARD, OTHER_QUEUE, key_prefix
from common.errors import RejectShard
from common.messages import ShardMessage
from common.settings import Settings
from tests.worker.main_process.task_messages import written
from worker.app import create_app
from worker.main_process.envelopes import LONGEST_WAIT_SECONDS, read_envelope
from worker.tasks import RETRY_SECONDS


def headers(raw: str) -> dict[str, object]:
    return json.loads(read_envelope(raw.encode(), "model.other"))["headers"]


def test_what_celery_sends_comes_through_with_its_arguments(broker_url):
    shard = ShardMessage.of(["a/b/c-3"], [0, 1, 5])
    queue = "model.qwen3_4b"
    app = create_app(Settings(broker=broker_url))
    sent = app.send_task(ANSWER_SHARD, kwargs=shard.model_dump(), queue=queue, countdown=5)
    with redis.Redis.from_url(broker_url) as client:
        raw = client.rpop(f"{key_prefix('se')}{queue}")
    message = json.loads(read_envelope(raw, queue))
    body = json.loads(base64.b64decode(message["body"]))
    assert ShardMessage.model_validate_json(json.dumps(body[1])) == shard
    assert message["headers"]["id"] == sent.id
    assert message["headers"]["eta"] == json.loads(raw)["headers"]["eta"]
    assert message["properties"]["delivery_tag"] == json.loads(raw)["properties"]["delivery_tag"]
    assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": queue}


def test_reading_a_message_twice_changes_nothing():
    once = read_envelope(written().encode(), "model.other")
    assert read_envelope(once.encode(), "model.other") == once


def test_a_message_sets_no_limits_and_does_not_expire():
    raw = written(headers={"timelimit": [1, 1], "expires": "2001-01-01T00:00:00+00:00"})
    assert headers(raw)["timelimit"] == [None, None]
    assert headers(raw)["expires"] is None


def test_a_message_waits_no_longer_than_a_shard_that_is_tried_again():
    assert RETRY_SECONDS <= LONGEST_WAIT_SECONDS
    latest = datetime.now(UTC) + timedelta(seconds=LONGEST_WAIT_SECONDS + 60)
    later = headers(written(headers={"eta": "9999-12-31T23:59:59+00:00"}))["eta"]
    assert datetime.fromisoformat(str(later)) < latest
    assert headers(written(headers={"eta": "0001-01-01T00:00:00+00:00"}))["eta"] is None


def test_a_message_goes_back_to_the_queue_that_it_came_from():
    raw = written(properties={"delivery_info": {"exchange": "x", "routing_key": "unacked"}})
    message = json.loads(read_envelope(raw.encode(), OTHER_QUEUE))
    assert message["properties"]["delivery_info"]["routing_key"] == OTHER_QUEUE


def test_headers_that_nobody_needs_do_not_reach_celery():
    raw = written(headers={"shadow": {"a": 1}, "group": "g", "stamps": 5, "compression": "zlib"})
    assert not {"shadow", "group", "stamps", "compression"} & set(headers(raw))


REFUSED = {
    "an empty string": ("", "EOF"),
    "no JSON": ("hello", "expected value"),
    "no UTF-8": (written(body="X").encode().replace(b"X", b"\xff"), "unicode"),
    "a number": ("17", "object"),
    "a list": ("[]", "object"),
    "a deep envelope": ('{"a":' * 5000 + "1" + "}" * 5000, "recursion"),
    "deep headers": (written(headers={"x": 1}).replace('"x": 1', '"x": ' + "[" * 999), "recurs"),
    "no headers": (written(headers=None), "headers"),
    "another task": (written(headers={"task": "os.system"}), "headers.task"),
    "an id that is a list": (written(headers={"id": ["x"]}), "headers.id"),
    "no tag": (written(properties={"delivery_tag": None}), "properties.delivery_tag"),
    "retries that are text": (written(headers={"retries": "1"}), "headers.retries"),
    "a wait that is no date": (written(headers={"eta": "soon"}), "headers.eta"),
    "pickle": (written(**{"content-type": "application/x-python-serialize"}), "content-type"),
    "a body that is not base64": (written(body="%%%"), "base64"),
    "a body that is not JSON": (written(body=base64.b64encode(b"{no").decode()), "JSON"),
    "a deep body": (written(body=base64.b64encode(b"[" * 5000).decode()), "recursion"),
    "an unknown argument": (written(arguments={"foo": 1}), "1.runs"),
    "rows that are text": (written(arguments={"runs": ["a/b/c"], "rows": "all"}), "1.rows"),
    "an argument without a name": (written(by_position=[1]), "without names"),
    "a task to start afterwards": (written(afterwards={"callbacks": [{}]}), "2.callbacks"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_in_one_line(case):
    raw, reason = REFUSED[case]
    with pytest.raises(RejectShard) as refusal:
        read_envelope(raw if isinstance(raw, bytes) else raw.encode(), "model.other")
    assert reason in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert len(str(refusal.value)) < 300


VALUES = [None, True, -1, 1e308, 10**400, "", "text", "\x00", [], [[]], {}, {"": None}]


@pytest.mark.parametrize("part", ["headers", "properties"])
def test_a_part_of_any_type_is_read_or_refused(part):
    for name in json.loads(written())[part]:
        for value in VALUES:
            with suppress(RejectShard):
                read_envelope(written(**{part: {name: value}}).encode(), "model.other")

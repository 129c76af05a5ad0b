"""Messages that cannot be used, on a real server, with a real worker that lives on."""

import base64
import os
import subprocess
import sys

import pytest
import redis

from common.broker import DEAD_LETTERS, OTHER_QUEUE, key_prefix
from common.settings import Settings
from tests.end_to_end.conftest import DEADLINE, running_worker, until
from tests.worker.main_process.task_messages import written

QUEUE, DEAD = (key_prefix("se") + name for name in (OTHER_QUEUE, DEAD_LETTERS))

TOPICS = ["se:/0.celery.pidbox", "se:/0.celeryev/worker.heartbeat"]
"""Of remote control, and of what workers tell each other."""

BAD = [
    "", "hello", "17", "null", "[]", "{}", "\x00", b"\xff\xfe",
    '{"a":' * 5000 + "1" + "}" * 5000,
    written(headers={"origin": "deep"}).replace('"deep"', "[" * 300 + "]" * 300),
    written(headers={"id": ["x"]}),
    written(headers={"eta": 5}),
    written(headers={"task": "os.system"}),
    written(headers={"retries": "1"}),
    written(headers=None),
    written(properties={"delivery_tag": {"a": 1}}),
    written(properties={"delivery_tag": None}),
    written(body="%%%"),
    written(body=base64.b64encode(b"{no").decode()),
    written(body=base64.b64encode(b"[" * 900 + b"]" * 900).decode()),
    written(arguments={"foo": 1}),
    written(by_position=[1, 2, 3]),
    written(afterwards={"callbacks": [{"task": "celery.backend_cleanup"}]}),
]  # fmt: skip


@pytest.fixture
def client(broker_url):
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
        yield client
        client.flushall()


def named(run: str, **headers: object) -> str:
    """A message for what cannot be a run; the task that gets it says so."""
    return written(headers={"id": run, **headers}, arguments={"runs": [run], "rows": [[0, 1]]})


def inspected(settings: Settings, what: str) -> str:
    """The output of `celery inspect`, to which workers answer over a queue."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "inspect", "--timeout", "20", what]
    environment = {**os.environ, **settings.to_environment()}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    ).stdout


def test_a_worker_puts_bad_messages_aside_and_lives_on(settings, client, tmp_path):
    limits = {"timelimit": ["x", {}], "expires": "2001-01-01T00:00:00+00:00"}
    waits = {"eta": "2099-01-01T00:00:00+00:00"}
    last = [named("../limits", **limits), named("../waits", **waits), named("../last")]
    client.lpush(QUEUE, *BAD, *last)
    client.hset("se:unacked", "x", "no message")
    client.zadd("se:unacked_index", {"x": 0})
    with running_worker(settings, tmp_path / "worker.log") as worker:
        for run in ("../limits", "../waits", "../last"):
            answer = f"shard rejected: message refused: run '{run}'"
            until(lambda text=answer: text in worker.log.read_text(), answer, worker.log)
        until(lambda: client.llen(DEAD) == len(BAD) + 1, "the dead letters", worker.log)
        until(lambda: not client.exists(QUEUE, "se:unacked"), "the last answer", worker.log)
        output = worker.log.read_text()
    expected = [text if isinstance(text, bytes) else text.encode() for text in BAD]
    assert sorted(client.lrange(DEAD, 0, -1)) == sorted([*expected, b"no message"])
    assert output.count("MainProcess] message refused") == len(BAD) + 1
    assert "Traceback" not in output


def test_a_broadcast_that_cannot_be_used_ends_no_worker(settings, client, tmp_path):
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: client.pubsub_numpat() == len(TOPICS), "the start", worker.log)
        broadcasts = ["17", "{}", "[" * 5000, '{"properties": 1}']
        for topic in TOPICS:
            for text in broadcasts:
                assert client.publish(topic, text) == 1
        client.lpush(QUEUE, named("../last"))
        until(lambda: "shard rejected" in worker.log.read_text(), "the message", worker.log)
        assert "pong" in inspected(settings, "ping")
        assert client.llen(DEAD) == 0
        output = worker.log.read_text()
    assert output.count("broadcast refused") == len(TOPICS) * len(broadcasts)


def test_a_message_that_the_task_rejects_is_one_line(settings, client, tmp_path):
    client.lpush(QUEUE, named("../../etc/passwd"))
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: "shard rejected" in worker.log.read_text(), "the answer", worker.log)
        until(lambda: not client.exists(QUEUE, "se:unacked"), "the end", worker.log)
        output = worker.log.read_text()
    assert "message refused" in output
    assert "Traceback" not in output

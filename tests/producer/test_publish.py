"""producer.publish, against a real server: what lies on the queue, and brokers that are down."""

import base64
import json
import socket

import pytest
import redis

from common.errors import UsageError
from common.run_counters import RunCounters
from common.settings import Settings
from producer.prepare import prepare
from producer.publish import check_broker, publish
from tests.common.storekit import put_part


@pytest.fixture
def settings(broker_url):
    """An empty database of the server, which no other test uses."""
    url = f"{broker_url.removesuffix('/0')}/8"
    redis.Redis.from_url(url).flushdb()
    return Settings(broker=url)


@pytest.fixture
def down():
    """The URL of a server that is not there: the port was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://:s3cret@127.0.0.1:{probe.getsockname()[1]}/3"


def send(settings, prepared):
    counters = check_broker(settings)
    publish(settings, counters, prepared.model, prepared.runs, prepared.messages)
    return counters


def queued(settings, queue):
    """Messages of a queue, oldest first: (headers and properties, decoded body)."""
    raw = redis.Redis.from_url(settings.broker).lrange(f"se:{queue}", 0, -1)
    envelopes = [json.loads(text) for text in reversed(raw)]
    return [(e, json.loads(base64.b64decode(e["body"]))) for e in envelopes]


@pytest.mark.parametrize(
    ("model", "queue"),
    [("qwen3_4b", "model.qwen3_4b"), ("owner/model", "model.other")],
)
def test_messages_are_json_on_the_queue_of_the_model_and_carry_names_and_rows_only(
    ask, store, settings, model, queue
):
    prepared = prepare(ask(model=model, methods=("avg", "origin")), store)
    send(settings, prepared)
    messages = queued(settings, queue)
    assert len(messages) == 3
    bodies = []
    for envelope, (positional, named, _) in messages:
        assert envelope["content-type"] == "application/json"
        assert envelope["headers"]["task"] == "self_ensemble.answer_shard"
        assert positional == []
        bodies.append(named)
    names = [str(run.key) for run in prepared.runs]
    assert bodies == [{"runs": names, "rows": [rows]} for rows in ([0, 4], [4, 8], [8, 11])]


def test_neither_questions_nor_the_password_are_in_a_message(ask, store, settings):
    send(settings, prepare(ask(), store))
    text = repr(queued(settings, "model.other"))
    assert "quiz/owner--model/avg-3" in text
    assert "question" not in text
    assert settings.broker.split(":")[2].partition("@")[0] not in text


def test_every_key_on_the_server_bears_the_prefix_of_this_project(ask, store, settings):
    send(settings, prepare(ask(), store))
    keys = redis.Redis.from_url(settings.broker).keys()
    assert keys
    assert [key for key in keys if not key.startswith(b"se:")] == []


def test_the_counters_begin_with_what_the_store_holds(ask, store, settings):
    (run,) = prepare(ask(), store).runs
    put_part(run, [0, 1, 5])
    check_broker(settings).stop(str(run.key), "other weights")
    counters = send(settings, prepare(ask(), store))
    assert counters.mark_done(str(run.key), [1, 2]) == 4
    assert counters.stop_reason(str(run.key)) is None
    assert counters.queue_length(["model.other"]) == 2


def test_a_complete_run_sends_nothing(ask, store, settings):
    (run,) = prepare(ask(), store).runs
    put_part(run, range(11))
    assert send(settings, prepare(ask(), store)).queue_length(["model.other"]) == 0


def refusal(call):
    with pytest.raises(UsageError) as refused:
        call()
    message = str(refused.value)
    assert "--broker" in message
    assert "producer run" in message
    assert "\n" not in message
    return message


def test_a_broker_that_is_down_is_named_without_its_password(down):
    message = refusal(lambda: check_broker(Settings(broker=down)))
    assert f"redis://{down.partition('@')[2]} does not answer" in message
    assert "s3cret" not in message


def test_a_wrong_password_is_not_shown(broker_url, monkeypatch):
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    wrong = broker_url.replace("redis://:", "redis://:s3cret")
    assert "s3cret" not in refusal(lambda: check_broker(Settings(broker=wrong)))


@pytest.mark.parametrize(
    "url", ["nonsense", "amqp://host", "redis://:s3cret@host:port/0", "redis://:s3cret/@host:1/0"]
)
def test_an_url_that_is_none_of_redis_is_refused_without_its_password(url):
    assert "s3cret" not in refusal(lambda: check_broker(Settings(broker=url)))


class Silent(RunCounters):
    """Counters that were still reached."""

    def reset(self, run, done):
        pass


@pytest.mark.parametrize("kind", [RunCounters, Silent], ids=["before", "while"])
def test_a_broker_that_goes_down_before_or_while_sending_is_named_too(ask, store, down, kind):
    p = prepare(ask(), store)
    counters = kind.connect(down)
    settings = Settings(broker=down)
    message = refusal(lambda: publish(settings, counters, p.model, p.runs, p.messages))
    assert "enqueue again" in message
    assert "s3cret" not in message

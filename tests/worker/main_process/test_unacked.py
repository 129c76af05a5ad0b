"""Messages that a worker holds: their age by the server's clock, and a server that is full."""

from inspect import signature

import pytest
import redis
from kombu import Connection
from kombu.transport import redis as kombu_redis
from kombu.transport.redis import QoS

from worker.main_process import server_clock, unacked
from worker.main_process.dead_letters import SortingTransport

PREFIX = "clocks:"
NAME = f"{SortingTransport.__module__}:{SortingTransport.__name__}"


@pytest.fixture
def client(broker_url):
    with redis.Redis.from_url(broker_url) as client:
        yield client
        client.config_set("maxmemory", 0)
        for key in client.scan_iter(f"{PREFIX}*"):
            client.delete(key)


@pytest.fixture
def queue(broker_url):
    """A queue of another program with one message; our queues would sort it."""
    options = {"global_keyprefix": PREFIX, "visibility_timeout": 30}
    with Connection(broker_url, transport=NAME, transport_options=options) as connection:
        queue = connection.SimpleQueue("elsewhere")
        queue.put({"any": "thing"})
        yield queue


@pytest.fixture(params=[-120, 120], ids=["behind", "ahead"])
def wrong_clock(request, monkeypatch):
    """A clock of this host that is two minutes off."""
    right = kombu_redis.time
    monkeypatch.setattr(kombu_redis, "time", lambda: right() + request.param)
    monkeypatch.setattr(server_clock.time, "time", lambda: right() + request.param)


def age(client):
    ((_, noted),) = client.zrange(f"{PREFIX}unacked_index", 0, -1, withscores=True)
    return server_clock.server_time(client) - noted


def restored(queue, client):
    queue.channel.qos.restore_visible(interval=1)
    return client.llen(f"{PREFIX}elsewhere") == 1


@pytest.mark.usefixtures("wrong_clock")
def test_a_worker_with_a_wrong_clock_notes_the_servers_time(queue, client):
    message = queue.get(timeout=10)
    assert 0 <= age(client) < 5
    message.ack()


@pytest.mark.usefixtures("wrong_clock")
def test_a_worker_with_a_wrong_clock_takes_what_is_too_old_and_nothing_else(queue, client):
    queue.get(timeout=10)
    assert not restored(queue, client)
    client.zincrby(f"{PREFIX}unacked_index", -25, client.zrange(f"{PREFIX}unacked_index", 0, 0)[0])
    assert not restored(queue, client)
    client.zincrby(f"{PREFIX}unacked_index", -10, client.zrange(f"{PREFIX}unacked_index", 0, 0)[0])
    assert restored(queue, client)


def test_a_message_is_held_until_a_full_server_has_memory_again(
    queue, client, monkeypatch, caplog
):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            client.config_set("maxmemory", 0)

    monkeypatch.setattr(unacked.time, "sleep", wait)
    client.config_set("maxmemory", 1)
    message = queue.get(timeout=10)
    assert len(waits) == 3
    assert client.hlen(f"{PREFIX}unacked") == 1
    assert [r.message for r in caplog.records if "Redis is full" in r.message] != []
    message.ack()
    assert client.hlen(f"{PREFIX}unacked") == 0


def test_what_a_full_server_does_not_take_back_comes_back_later(queue, client):
    message = queue.get(timeout=10)
    client.config_set("maxmemory", 1)
    message.reject(requeue=True)
    queue.channel.qos.restore_visible(interval=1)
    client.config_set("maxmemory", 0)
    assert not restored(queue, client)
    client.zincrby(f"{PREFIX}unacked_index", -35, client.zrange(f"{PREFIX}unacked_index", 0, 0)[0])
    assert restored(queue, client)


def test_kombu_still_has_the_names_that_are_overridden():
    assert list(signature(QoS.append).parameters) == ["self", "message", "delivery_tag"]
    assert list(signature(QoS.reject).parameters) == ["self", "delivery_tag", "requeue"]
    assert list(signature(QoS.restore_visible).parameters) == ["self", "start", "num", "interval"]
    assert callable(kombu_redis.time)

"""Celery's side: settings, queues, affinity, the lease; no worker is started here."""

import threading
from inspect import signature
from types import SimpleNamespace

import pytest
import redis
from celery.worker import state
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, resolve_transport
from kombu.transport.redis import Channel, QoS
from kombu.utils.objects import cached_property

from common.broker import celery_settings
from common.models import REGISTRY
from common.settings import Settings
from worker.affinity import StickyCycle
from worker.app import create_app
from worker.dead_letters import SortingTransport
from worker.host import default_processes
from worker.lease import keep_leases


def test_a_plain_worker_serves_the_queue_of_every_model():
    app = create_app(Settings())
    assert set(app.amqp.queues) == {f"model.{name}" for name in REGISTRY} | {"model.other"}


def test_messages_are_json_acknowledged_late_and_never_prefetched():
    conf = create_app(Settings()).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_pool_start_method == "spawn"


def test_the_time_limit_and_visibility_timeout_are_settings():
    settings = celery_settings(Settings(time_limit=77, visibility_timeout=9))
    assert settings["task_time_limit"] == 77
    assert settings["broker_transport_options"]["visibility_timeout"] == 9


def test_the_queue_last_taken_from_stays_first_until_its_quantum_ends(monkeypatch):
    class Cycle(StickyCycle):
        current, since = None, 0.0

    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("worker.affinity.time.monotonic", lambda: clock.now)
    cycle = Cycle(["a", "b", "c"])
    cycle.rotate("b")
    assert cycle.consume(1) == ["b"]
    cycle.update(["a", "b", "c", "d"])
    assert cycle.consume(1) == ["b"]
    clock.now += 601
    cycle.rotate("b")
    assert cycle.consume(1) == ["a"]


def test_the_lease_refreshes_what_is_in_work_and_survives_a_lost_broker(monkeypatch):
    ended, calls = threading.Event(), []

    class Client:
        def zadd(self, key, tags, xx):
            calls.append((key, set(tags), xx))
            if len(calls) == 1:
                raise ConnectionError("away")
            ended.set()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    request = SimpleNamespace(message=SimpleNamespace(delivery_tag="tag-1"))
    monkeypatch.setattr(state, "reserved_requests", [request])
    channel = SimpleNamespace(conn_or_acquire=Client, unacked_index_key="unacked_index")
    keep_leases(channel, 0.001, ended)
    assert calls == [("unacked_index", {"tag-1"}, True)] * 2


@pytest.mark.parametrize(("visible", "processes"), [("0,1,3", 3), ("", 1), ("-1", 1), ("2", 1)])
def test_there_is_one_process_for_each_gpu_that_may_be_seen(monkeypatch, visible, processes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert default_processes() == processes


@pytest.mark.parametrize(
    "broker", ["redis://h/0", "rediss://h/0", "unix:///run/redis.sock", "redis+socket:///a/b.sock"]
)
def test_every_way_to_redis_leads_over_the_channel_that_sorts_messages(broker):
    connection = create_app(Settings(broker=broker)).connection_for_read()
    assert resolve_transport(connection.transport_cls) is SortingTransport
    assert connection.as_uri().startswith(broker.partition(":")[0].replace("unix", "redis+socket"))


def test_queues_of_other_programs_are_left_alone(broker_url):
    name = f"{SortingTransport.__module__}:{SortingTransport.__name__}"
    with Connection(broker_url, transport=name) as connection:
        queue = connection.SimpleQueue("elsewhere")
        queue.put({"any": "thing"})
        assert queue.get(timeout=10).payload == {"any": "thing"}


def test_kombu_still_has_the_names_that_the_channel_overrides():
    assert callable(Channel._receive_one)
    assert list(signature(QoS.restore_by_tag).parameters) == ["self", "tag", "client", "leftmost"]
    assert isinstance(Channel.client, cached_property)
    assert {"redis", "rediss"} <= set(TRANSPORT_ALIASES)
    assert "BRPOP" in redis.Redis().response_callbacks

"""Dead letters: kombu's names that the channel overrides, and what it leaves alone."""

from inspect import signature

import pytest
import redis
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, resolve_transport
from kombu.transport.redis import Channel, QoS
from kombu.utils.objects import cached_property

from common.settings import Settings
from worker.app import create_app
from worker.main_process.dead_letters import SortingTransport


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

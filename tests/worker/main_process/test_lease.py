"""The lease is refreshed, also after an error of the broker."""

import threading
from types import SimpleNamespace

from celery.worker import state

from worker.main_process.lease import keep_leases


def test_the_lease_refreshes_what_is_in_work_and_survives_a_lost_broker(monkeypatch):
    ended, calls = threading.Event(), []

    class Client:
        def time(self):
            return 1_000, 500_000

        def zadd(self, key, tags, xx):
            calls.append((key, tags, xx))
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
    assert calls == [("unacked_index", {"tag-1": 1000.5}, True)] * 2

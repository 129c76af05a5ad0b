"""Presence: a worker announces itself until it is told to end; processes note their models."""

from types import SimpleNamespace

import pytest
import redis
from celery.worker import state

from common.live_workers import live_workers
from common.run_counters import RunCounters
from common.store import StoreFilesystem
from common.store.identity import store_id
from tests.worker.conftest import shard_of
from worker.executor import ShardExecutor
from worker.main_process.presence import announcement, keep_announcing


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def worker():
    queues = SimpleNamespace(consume_from={"model.b": 1, "model.a": 2})
    app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
    return announcement(SimpleNamespace(hostname="celery@here", concurrency=1, app=app))


class Beats:
    """Waits for no time; calls `after` at each beat and is set by it when it returns true."""

    def __init__(self, after):
        self._after, self._over = after, False

    def is_set(self):
        return self._over

    def wait(self, _):
        self._over = bool(self._after())


def test_a_worker_is_announced_at_once_and_withdrawn_in_the_end(counters, worker):
    seen = []

    def look():
        seen.extend(live_workers(counters))
        return True

    keep_announcing(counters, worker, Beats(look))
    assert [(w.name, w.queues) for w in seen] == [("celery@here", ("model.a", "model.b"))]
    assert live_workers(counters) == []


@pytest.mark.parametrize("flag", ["should_stop", "should_terminate"])
def test_a_worker_that_is_told_to_end_is_withdrawn(counters, worker, monkeypatch, flag):
    keep_announcing(counters, worker, Beats(lambda: monkeypatch.setattr(state, flag, 0)))
    assert live_workers(counters) == []


def test_a_broker_that_is_away_is_said_once_and_awaited(counters, worker, monkeypatch, caplog):
    beats, seen = iter(range(4)), []
    client = counters._redis
    counters._redis = redis.Redis.from_url("redis://localhost:1")

    def back_at_the_third():
        beat = next(beats)
        counters._redis = client if beat >= 2 else counters._redis
        seen.append(bool(beat == 3 and live_workers(counters)))
        return beat == 3

    keep_announcing(counters, worker, Beats(back_at_the_third))
    assert seen == [False, False, False, True]
    assert len(caplog.records) == 1


def test_a_process_notes_the_model_that_it_loads_and_then_holds(
    executor, counters, worker, make_runs, monkeypatch
):
    runs = make_runs(methods=("avg",)).runs
    here = worker.model_copy(update={"place": executor._notes._place})
    seen = []
    load = executor.manager._load

    def look():
        (live,) = live_workers(counters)
        seen.append([(held.model, held.loading) for held in live.models])

    def loads(*arguments):
        look()
        return load(*arguments)

    def answers_two_shards():
        monkeypatch.setattr(executor.manager, "_load", loads)
        for row in (0, 1):
            executor.execute(shard_of(runs, [row]))
            look()
        executor.warm_up()
        look()
        return True

    keep_announcing(counters, here, Beats(answers_two_shards))
    model = runs[0].spec.model
    assert seen == [[(model, True)], [(model, False)], [(model, False)], []]


def test_a_model_that_cannot_be_loaded_is_not_noted_as_held(
    executor: ShardExecutor, counters, worker, tmp_path
):
    here = worker.model_copy(update={"place": executor._notes._place})
    seen = []

    def fails():
        executor.settings = executor.settings.model_copy(update={"warm_model": str(tmp_path)})
        executor.warm_up()
        seen.extend(live_workers(counters))
        return True

    keep_announcing(counters, here, Beats(fails))
    assert seen[0].models == ()


def test_the_id_of_the_store_is_told_as_soon_as_the_store_has_one(counters, worker, tmp_path):
    store, seen = StoreFilesystem.open(str(tmp_path / "new")), []
    worker = worker.model_copy(update={"store": store.uri})

    def look():
        seen.extend(live.store_id for live in live_workers(counters))
        store_id(store)
        return len(seen) == 2

    keep_announcing(counters, worker, Beats(look))
    assert seen == [None, store_id(store)]

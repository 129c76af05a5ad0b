"""The task: which error stops a run, which is tried again, and which rejects the message."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from celery.exceptions import Ignore, Reject, Retry
from kombu.exceptions import OperationalError

from common.broker import OTHER_QUEUE
from common.errors import (
    CancelledRun,
    RejectShard,
    RetryShard,
    ReturnShard,
    StopRun,
    UnusableModel,
)
from common.live_workers import Announcement, announce, place_of
from common.store.cancellation import cancel
from common.store.identity import store_id
from tests.common.permissions import allowing
from tests.worker.checkpoints import copied, cut
from worker import tasks
from worker.main_process.own_faults import GivenBack


@pytest.fixture
def answer(executor, monkeypatch):
    """Run the task here for rows of runs, as a worker would with this process."""
    monkeypatch.setattr(tasks, "executor", lambda: executor)
    monkeypatch.setattr(tasks, "counters", lambda: executor.counters)

    def answer(runs, retries=0):
        tasks.answer_shard.push_request(retries=retries, called_directly=False, id="an id")
        try:
            with suppress(StopRun):
                tasks.answer_shard.run([str(run.key) for run in runs], [[0, 3]])
        finally:
            tasks.answer_shard.pop_request()
        return executor.counters.stop_reason(str(runs[0].key))

    return answer


def test_a_damaged_model_stops_the_run_with_the_name_of_its_file(
    answer, make_runs, tiny_model, tmp_path
):
    damaged = copied(tiny_model, tmp_path / "own", cut("model.safetensors", 1000))
    reason = answer(make_runs(model=str(damaged)).runs)
    assert f"{damaged}/model.safetensors (1,000 bytes) is damaged" in reason


def test_an_error_that_nobody_foresaw_stops_the_run_with_its_text(
    answer, executor, make_runs, monkeypatch
):
    """Celery would drop the message: the queue would be empty, and rows missing."""

    def fails(_):
        raise LookupError("not foreseen")

    monkeypatch.setattr(executor, "execute", fails)
    assert "LookupError: not foreseen" in answer(make_runs().runs)


def test_a_process_that_cannot_begin_gives_the_shard_back(executor, make_runs, monkeypatch):
    def cannot():
        raise OSError("no temporary folder")

    monkeypatch.setattr("worker.model.compile_cache.claim_cache", lambda _: {})
    monkeypatch.setattr(tasks.Settings, "from_environment", cannot)
    tasks.executor.cache_clear()
    with pytest.raises(ReturnShard, match="cannot begin: OSError: no temporary folder"):
        tasks.executor()


def test_a_fault_of_the_worker_gives_the_shard_back_and_stops_nothing(
    answer, executor, make_runs, monkeypatch
):
    runs = make_runs().runs

    def fails(_):
        raise ReturnShard("another store")

    monkeypatch.setattr(executor, "execute", fails)
    with pytest.raises(Reject, match="another store") as rejected:
        answer(runs)
    assert rejected.value.requeue
    name = str(runs[0].key)
    assert executor.counters.delayed(name) == rejected.value.reason
    assert executor.counters.stop_reason(name) is None


def test_a_store_that_this_worker_may_not_write_to_is_its_own_fault(answer, executor, make_runs):
    runs = make_runs(methods=("avg",)).runs
    with (
        allowing(Path(executor.store.root), 0o555),
        pytest.raises(Reject, match=r"cannot be written by .*SELF_ENSEMBLE_STORE") as rejected,
    ):
        answer(runs)
    assert rejected.value.requeue
    assert executor.counters.stop_reason(str(runs[0].key)) is None


def test_a_run_whose_folder_nobody_may_write_to_stops_alone(answer, executor, make_runs):
    runs = make_runs(methods=("avg",)).runs
    with allowing(Path(executor.store.path(str(runs[0].key))), 0o555):
        reason = answer(runs)
    assert "not this run's folder; change its mode: " in reason
    assert str(runs[0].key) in reason


def test_a_run_that_was_deleted_stops_and_is_no_fault_of_the_worker(answer, executor, make_runs):
    gone = make_runs(methods=("max",)).runs
    executor.counters.note_store(str(gone[0].key), store_id(executor.store))
    gone[0].store.delete(str(gone[0].key))
    assert "no longer in the store" in answer(gone)


def test_a_store_that_is_away_is_tried_again_and_the_producer_can_see_why(
    answer, executor, make_runs, monkeypatch
):
    runs = make_runs().runs

    def away(_):
        raise RetryShard("store /data: timed out")

    monkeypatch.setattr(executor, "execute", away)
    monkeypatch.setattr(tasks.answer_shard, "retry", lambda **_: Retry("later"))
    with pytest.raises(Retry):
        answer(runs)
    assert executor.counters.delayed(str(runs[0].key)) == "store /data: timed out"
    assert executor.counters.stop_reason(str(runs[0].key)) is None


def test_after_the_last_try_the_run_is_stopped(answer, executor, make_runs, monkeypatch):
    def away(_):
        raise RetryShard("store /data: timed out")

    monkeypatch.setattr(executor, "execute", away)
    assert "given up after 100 tries: store /data" in answer(make_runs().runs, retries=100)


def test_a_bad_message_stops_nothing(answer, executor, make_runs, monkeypatch):
    def rejects(_):
        raise RejectShard("rows that do not exist")

    runs = make_runs().runs
    monkeypatch.setattr(executor, "execute", rejects)
    with pytest.raises(Reject):
        answer(runs)
    assert executor.counters.stop_reason(str(runs[0].key)) is None


def run_task(runs, **request):
    tasks.answer_shard.push_request(called_directly=False, id="an id", **request)
    try:
        tasks.answer_shard.run([str(run.key) for run in runs], [[0, 3]])
    finally:
        tasks.answer_shard.pop_request()


def test_a_shard_that_stops_its_run_fails_and_the_stop_names_the_worker(
    answer, executor, make_runs, tiny_model, tmp_path
):
    damaged = copied(tiny_model, tmp_path / "own", cut("model.safetensors", 1000))
    (run,) = make_runs(model=str(damaged), methods=("avg",)).runs
    with pytest.raises(StopRun, match="is damaged"):
        run_task([run], hostname="celery@gpu-1", retries=0)
    (activity,) = executor.counters.activity([str(run.key)])
    assert activity.stop.worker == "celery@gpu-1"


def test_a_shard_of_a_stopped_run_fails_and_the_stop_stays_as_it_was(answer, executor, make_runs):
    (run,) = make_runs(methods=("avg",)).runs
    executor.counters.stop(str(run.key), "no weights", "celery@gpu-1")
    with pytest.raises(StopRun, match="avg-3 is stopped, its shard is dropped: no weights"):
        run_task([run], hostname="celery@gpu-2", retries=0)
    (activity,) = executor.counters.activity([str(run.key)])
    assert (activity.stop.reason, activity.stop.worker) == ("no weights", "celery@gpu-1")


def test_celery_logs_a_shard_of_a_stopped_run_in_one_line():
    assert tasks.answer_shard.throws == (StopRun,)


def test_a_shard_of_a_cancelled_run_is_dropped_and_no_failure(
    answer, executor, make_runs, monkeypatch
):
    (run,) = make_runs(methods=("avg",)).runs
    told = []
    monkeypatch.setattr(tasks.answer_shard, "send_event", lambda kind, **_: told.append(kind))
    cancel(run)
    with pytest.raises(Ignore, match="cancelled"):
        run_task([run], retries=0)
    assert told == ["task-revoked"]
    assert executor.counters.stop_reason(str(run.key)) is None
    assert issubclass(CancelledRun, StopRun)


@pytest.fixture
def live(executor):
    """Announce a worker: the one of this process, unless another place is given."""

    def live(name, place=None, queues=(OTHER_QUEUE,)):
        here = place_of(os.getppid())
        worker = Announcement(
            name=name, place=place or here, processes=1, queues=queues, version="0"
        )
        announce(executor.counters, worker)

    return live


@pytest.fixture
def without_memory(executor, make_runs, monkeypatch):
    """Runs whose model this worker cannot load."""

    def fails(_):
        raise UnusableModel("model m does not fit")

    monkeypatch.setattr(executor, "execute", fails)
    return make_runs().runs


def test_a_model_that_the_only_worker_cannot_load_stops_the_run_at_once(
    answer, without_memory, live
):
    live("own@here")
    live("other@there", "there:1", queues=("model.qwen3_4b",))
    assert answer(without_memory) == "model m does not fit"


def test_a_model_that_another_worker_may_load_gives_the_shard_back(
    answer, executor, without_memory, live
):
    live("other@there", "there:1")
    for _ in range(2):
        with pytest.raises(GivenBack, match="gave a shard back: model m does not fit"):
            answer(without_memory)
    assert executor.counters.stop_reason(str(without_memory[0].key)) is None


def test_the_run_stops_once_every_live_worker_has_refused_its_model(
    answer, executor, without_memory, live
):
    for worker in ("a", "b"):
        live(f"{worker}@there", f"{worker}:1")
        executor.counters.refuse(str(without_memory[0].key), f"{worker}:1", f"{worker}@there: no")
    reason = answer(without_memory)
    assert reason.startswith("no worker can use the model; ")
    for part in ("a@there: no", "b@there: no", "model m does not fit"):
        assert part in reason


def test_a_worker_that_was_started_again_is_asked_again(answer, executor, without_memory, live):
    executor.counters.refuse(str(without_memory[0].key), "there:1", "other@there: no licence")
    live("other@there", "there:2")
    with pytest.raises(GivenBack):
        answer(without_memory)


def test_a_run_that_cannot_be_stopped_as_the_broker_is_away_gives_the_shard_back(
    answer, executor, make_runs, monkeypatch
):
    def fails(_):
        raise LookupError("not foreseen")

    runs = make_runs().runs
    monkeypatch.setattr(executor, "execute", fails)
    monkeypatch.setattr(executor.counters, "_redis", redis.Redis.from_url("redis://localhost:1"))
    with pytest.raises(
        Reject, match="the broker does not take what became of a shard"
    ) as rejected:
        answer(runs)
    assert rejected.value.requeue
    assert not isinstance(rejected.value, GivenBack), "no fault of this worker"


def test_a_shard_that_cannot_be_sent_to_be_tried_again_is_given_back(
    answer, executor, make_runs, monkeypatch
):
    """Celery by itself rejects it then, and it is lost."""

    def away(_):
        raise RetryShard("store /data: timed out")

    def not_sent(**_):
        raise Reject(OperationalError("away"), requeue=False)

    monkeypatch.setattr(executor, "execute", away)
    monkeypatch.setattr(tasks.answer_shard, "retry", not_sent)
    with pytest.raises(
        Reject, match="the broker does not take what became of a shard: away"
    ) as rejected:
        answer(make_runs().runs)
    assert rejected.value.requeue

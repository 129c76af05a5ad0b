"""The task: which error stops a run, which is tried again, and which rejects the message."""

import pytest
from celery.exceptions import Reject, Retry

from common.errors import RejectShard, RetryShard, StopRun
from tests.worker.checkpoints import copied, cut
from worker import tasks


@pytest.fixture
def answer(executor, monkeypatch):
    """Run the task here for rows of runs, as a worker would with this process."""
    monkeypatch.setattr(tasks, "executor", lambda: executor)
    monkeypatch.setattr(tasks, "counters", lambda: executor.counters)

    def answer(runs, retries=0):
        tasks.answer_shard.push_request(retries=retries, called_directly=False, id="an id")
        try:
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


def test_a_process_that_cannot_begin_stops_the_run(answer, make_runs, monkeypatch):
    def cannot():
        raise StopRun("a worker process cannot begin: no temporary folder")

    monkeypatch.setattr(tasks, "executor", cannot)
    assert "cannot begin" in answer(make_runs().runs)


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

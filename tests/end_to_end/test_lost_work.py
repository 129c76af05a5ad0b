"""Work that is lost with Redis comes back by itself: nobody waits, and idle workers find it."""

from pathlib import Path

import pytest
import redis

from common.run import RunKey
from common.settings import Settings
from common.store import RunFolder, StoreFilesystem, list_parts, read_progress, verify_run
from common.store.enqueued import list_enqueued
from tests.end_to_end.conftest import avg_options, producer, running_worker, until


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"attention": "sdpa"})


@pytest.fixture
def arguments(tmp_path: Path, tiny_model: Path) -> list[object]:
    return avg_options(tmp_path, tiny_model, 30, shard_size=1, max_new_tokens=30)


def the_run(settings: Settings) -> RunFolder:
    store = StoreFilesystem.open(settings.store)
    return RunFolder(store, RunKey("numbers", "tiny-llama", "avg-3"))


def lose_all(settings: Settings) -> None:
    redis.Redis.from_url(settings.broker).flushall()


def settled(settings: Settings) -> bool:
    """Whether the run is merged, and the workers look for it no more."""
    run = the_run(settings)
    enqueued = list_enqueued(run.store, settings.namespace)
    return run.exists() and read_progress(run).merged and not enqueued


def test_a_run_whose_queue_is_lost_is_finished_by_an_idle_worker_alone(
    settings, arguments, tmp_path
):
    producer("enqueue", *arguments, settings=settings)
    run = the_run(settings)
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: len(list_parts(run)) >= 3, "the third part", worker.log)
        lose_all(settings)
        assert read_progress(run).missing > 1
        until(lambda: settled(settings), "the merge", worker.log)
        assert ": sent again" in worker.log.read_text()
    assert verify_run(run) == []


def test_a_run_that_lost_its_counters_under_the_last_shard_is_merged(
    settings, arguments, tmp_path
):
    """The last message is sent when all else is lost, so no resend hides the counters' loss."""
    quiet = settings.model_copy(update={"reconcile": False})
    producer("enqueue", *arguments, "--max-samples", 2, settings=quiet)
    run, client = the_run(quiet), redis.Redis.from_url(quiet.broker)
    last = client.rpop("se:model.other")
    with running_worker(quiet, tmp_path / "worker.log") as worker:
        until(lambda: read_progress(run).missing == 1, "the first part", worker.log)
        until(lambda: not client.hlen("se:unacked"), "its acknowledgement", worker.log)
        lose_all(quiet)
        client.lpush("se:model.other", last)
        until(lambda: read_progress(run).merged, "the merge", worker.log)
    assert verify_run(run) == []


def test_a_complete_run_that_nobody_merged_is_merged_by_an_idle_worker(
    settings, arguments, tmp_path
):
    producer("enqueue", *arguments, "--max-samples", 2, settings=settings)
    run = the_run(settings)
    quiet = settings.model_copy(update={"reconcile": False})
    with running_worker(quiet, tmp_path / "first.log") as first:
        until(lambda: read_progress(run).merged, "the merge", first.log)
    run.store.delete(run.feather)
    with running_worker(settings, tmp_path / "second.log") as second:
        until(lambda: settled(settings), "the second merge", second.log)
        assert "was complete and is being merged" in second.log.read_text()


def test_the_command_sends_what_is_lost_and_says_so_in_a_line(settings, arguments, tmp_path):
    producer("enqueue", *arguments, "--max-samples", 5, settings=settings)
    run = the_run(settings)
    assert f"{run.key} waits: 5 messages" in producer("reconcile", settings=settings)
    lose_all(settings)
    lines = producer("reconcile", settings=settings).splitlines()
    assert lines[0] == f"{run.key} had lost 5 rows: sent again"
    assert lines[1].startswith("0 of 1 runs in ")
    assert redis.Redis.from_url(settings.broker).llen("se:model.other") == 5
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: read_progress(run).merged, "the merge", worker.log)
    assert producer("reconcile", settings=settings).startswith("1 of 1 runs in ")


def test_an_interrupted_local_run_is_left_to_who_started_it(settings, arguments):
    producer("run", *arguments, "--max-samples", 1, settings=settings)
    assert list_enqueued(the_run(settings).store, settings.namespace) == []

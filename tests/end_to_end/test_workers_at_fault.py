"""A worker with another store: what is wrong with it is its own matter, no run's."""

import subprocess

import pytest
import redis

from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem
from tests.end_to_end.conftest import DEADLINE, avg_options, producer, running_worker, until
from worker.main_process.own_faults import EXIT_STATUS, MOST_IN_A_ROW

KEY = "numbers/tiny-llama/avg-3"
SHARDS = 4


@pytest.fixture
def wrong(settings, tmp_path):
    """The settings of a worker that has another store."""
    return settings.model_copy(update={"store": str(tmp_path / "elsewhere")})


@pytest.fixture
def run(settings, tmp_path, tiny_model):
    """A run whose shards are on the queue, and nothing else."""
    redis.Redis.from_url(settings.broker).flushdb()
    options = avg_options(tmp_path, tiny_model, 2 * SHARDS, shard_size=2, max_new_tokens=3)
    producer("enqueue", *options, settings=settings)
    return RunFolder(StoreFilesystem.open(settings.store), RunKey.parse(KEY))


@pytest.fixture
def counters(settings):
    return RunCounters.connect(settings.broker, settings.namespace)


def ended(worker) -> int:
    """The exit status of a worker that ends by itself."""
    try:
        return int(worker.process.wait(DEADLINE))
    except subprocess.TimeoutExpired:
        pytest.fail(worker.log.read_text())


def is_merged(run) -> bool:
    return bool(run.store.exists(run.feather))


def test_alone_it_keeps_every_shard_says_why_and_ends(wrong, settings, run, counters, tmp_path):
    with running_worker(wrong, tmp_path / "wrong.log") as worker:
        assert ended(worker) == EXIT_STATUS
        output = worker.log.read_text()
    assert f"it gave back {MOST_IN_A_ROW} shards in a row" in output
    assert f"run {KEY} is not in this worker's store {tmp_path}/elsewhere" in output
    assert "Traceback" not in output
    assert counters.queue_length(["model.other"]) == SHARDS
    assert counters.stop_reason(KEY) is None
    assert "worker wrong@test gave a shard back: run numbers" in counters.delayed(KEY)
    with running_worker(settings, tmp_path / "right.log") as worker:
        until(lambda: is_merged(run), "the merge", worker.log)
    assert counters.queue_length(["model.other"]) == 0


def test_beside_others_it_costs_the_run_nothing(wrong, settings, run, counters, tmp_path):
    with running_worker(wrong, tmp_path / "wrong.log") as bad:
        until(lambda: "gave a shard back" in bad.log.read_text(), "the first fault", bad.log)
        with running_worker(settings, tmp_path / "right.log") as good:
            until(lambda: is_merged(run), "the merge", good.log)
            until(lambda: not counters.queue_length(["model.other"]), "an empty queue", good.log)
    assert counters.stop_reason(KEY) is None

"""A library that ends the process over a shard: the run has its verdict, and nothing is lost."""

import uuid

import pytest

from common.messages import ShardMessage
from common.models import find_model
from common.run_counters import RunCounters
from common.store import StoreFilesystem
from producer.publish import publish
from tests.common.storekit import make_run
from tests.end_to_end.conftest import running_worker, until


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"namespace": f"test-{uuid.uuid4().hex[:12]}"})


def test_a_library_that_exits_stops_the_run_and_not_its_process(settings, tmp_path):
    run = make_run(StoreFilesystem.open(settings.store))
    counters = RunCounters.connect(settings.broker, settings.namespace)
    shards = [ShardMessage.of([str(run.key)], [row]) for row in range(3)]
    publish(settings, counters, find_model("owner/model"), [run], shards)
    options = ("-I", "tests.end_to_end.exiting_executor")
    with running_worker(settings, tmp_path / "worker.log", *options) as worker:
        until(lambda: counters.stop_reason(str(run.key)), "the verdict", worker.log)
        until(lambda: not counters.queue_length(["model.other"]), "an empty queue", worker.log)
        output = worker.log.read_text()
    assert "StrayExit: SystemExit: a library gives up" in counters.stop_reason(str(run.key))
    assert "WorkerLostError" not in output

"""`producer doctor` and a real worker: it is seen, and so is a store that is another."""

import json
import uuid

from common.live_workers import live_workers
from common.run_counters import RunCounters
from common.store import StoreFilesystem
from common.store.identity import store_id
from tests.end_to_end.conftest import producer, running_worker, until

QUICK = ("-I", "tests.end_to_end.exiting_executor")


def test_the_worker_of_this_store_is_well_and_one_of_another_is_a_fault(settings, tmp_path):
    settings = settings.model_copy(update={"namespace": f"test-{uuid.uuid4().hex[:12]}"})
    counters = RunCounters.connect(settings.broker, settings.namespace)
    own = store_id(StoreFilesystem.open(settings.store))
    with running_worker(settings, tmp_path / "seen.log", *QUICK) as worker:
        until(lambda: live_workers(counters), "the announcement", worker.log)
        findings = json.loads(producer("doctor", "--json", settings=settings))
        said = [finding["text"] for finding in findings]
        assert f"every worker has this one (id {own[:12]})" in said
        assert any("seen@test: version" in text and "device cpu" in text for text in said)
        elsewhere = settings.model_copy(update={"store": str(tmp_path / "elsewhere")})
        store_id(StoreFilesystem.open(elsewhere.store))
        faults = producer("doctor", settings=elsewhere, check=False)
        assert "fault    store    worker seen@test has another one" in faults

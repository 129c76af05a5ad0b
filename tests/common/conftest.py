"""Fixtures of the tests of `common`: stores on two file systems, small batches, a server."""

from pathlib import Path

import pytest

from common.run_counters import RunCounters
from common.store import StoreFilesystem, merge, snapshot
from tests.common.storekit import local_store, memory_store


@pytest.fixture
def store(tmp_path: Path) -> StoreFilesystem:
    return local_store(tmp_path)


@pytest.fixture(params=["local", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFilesystem:
    return local_store(tmp_path) if request.param == "local" else memory_store()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4 samples and windows of 8, so that small runs cross every border."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "WINDOW_ROWS", 8)


@pytest.fixture
def counters(broker_url: str) -> RunCounters:
    """Empty counters, in a database of the server that no other test uses."""
    counters = RunCounters.connect(f"{broker_url.removesuffix('/0')}/7", "se")
    counters._redis.flushdb()
    return counters

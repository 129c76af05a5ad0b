"""Fixtures of the tests of `common`: stores on two file systems, small batches, a server."""

from pathlib import Path

import pytest

from common.run_counters import RunCounters
from common.store import StoreFilesystem
from tests.common.storekit import any_store, local_store, use_small_batches

__all__ = ["any_store", "counters", "small_batches", "store"]


@pytest.fixture
def store(tmp_path: Path) -> StoreFilesystem:
    return local_store(tmp_path)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4 samples and windows of 8."""
    use_small_batches(monkeypatch)


@pytest.fixture
def counters(broker_url: str) -> RunCounters:
    """Empty counters, in a database of the server that no other test uses."""
    counters = RunCounters.connect(f"{broker_url.removesuffix('/0')}/7", "se")
    counters._redis.flushdb()
    return counters

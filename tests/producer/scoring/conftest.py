"""Fixtures of the tests of scoring: stores on two file systems, small batches."""

from pathlib import Path

import pytest

from common.store import StoreFilesystem, merge, scores, snapshot
from producer.scoring import score
from tests.common.storekit import local_store, memory_store


@pytest.fixture(params=["local", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFilesystem:
    return local_store(tmp_path) if request.param == "local" else memory_store()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4 samples, windows of 8 and slices of 3: small runs cross every border."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "SNAPSHOT_BATCH_ROWS", 4)
    monkeypatch.setattr(merge, "WINDOW_ROWS", 8)
    monkeypatch.setattr(score, "SLICE_ROWS", 3)
    monkeypatch.setattr(scores, "SLICE_ROWS", 3)

"""Fixtures of the tests of scoring: stores on two file systems, small batches."""

import pytest

from common.store import scores
from producer.scoring import score
from tests.common.storekit import any_store, use_small_batches

__all__ = ["any_store", "small_batches"]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4 samples, windows of 8 and slices of 3."""
    use_small_batches(monkeypatch)
    monkeypatch.setattr(score, "SLICE_ROWS", 3)
    monkeypatch.setattr(scores, "SLICE_ROWS", 3)

"""benchmarks.listing: a store of complete runs, listed and opened, of which nothing is left."""

import tempfile

from benchmarks import listing
from tests.common.storekit import local_store


def test_every_part_is_counted_once_by_both_ways_and_nothing_is_left(
    document, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = document(listing.main, "--runs", 3, "--parts", 5, "--repeats", 1)
    rows = report["rows"]
    assert [(row["step"], row["parts"]) for row in rows] == [
        ("the listing", 15), ("opening every part", 15),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_the_runs_that_it_makes_are_complete(tmp_path):
    store = local_store(tmp_path)
    listing.make_runs(store, 2, 3)
    listed = listing.list_every_run(store)
    assert [progress.state for _, progress in listed.runs] == ["complete", "complete"]
    assert listing.open_every_part(store) == 2 * 3 * 64

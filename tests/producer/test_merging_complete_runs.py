"""producer.waiting.merge_unless_merged: a complete run is merged, unless its file holds."""

import pytest

from common.store import list_parts, merge_run, verify_run
from producer.waiting import merge_unless_merged
from tests.common.storekit import make_run, put_part, read_feather


def never(*_):
    raise AssertionError("this must not be called")


def test_a_file_that_a_worker_merged_is_kept_as_it_is(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, range(7))
    merge_run(run)
    monkeypatch.setattr("producer.waiting.merge_run", never)
    merge_unless_merged(run)


@pytest.mark.parametrize("damage", ["partial", "other part"])
def test_a_file_that_does_not_hold_is_merged_anew(store, damage):
    run = make_run(store, 7)
    put_part(run, range(4))
    if damage == "partial":
        merge_run(run, partial=True)
        put_part(run, range(4, 7))
    else:
        old = put_part(run, range(4, 7))
        merge_run(run)
        store.delete(old)
        put_part(run, range(3, 7))
    merge_unless_merged(run)
    assert verify_run(run) == []
    assert read_feather(run).num_rows == 7
    assert len(list_parts(run)) == 2


def test_a_truncated_file_is_merged_anew(store):
    run = make_run(store, 7)
    put_part(run, range(7))
    merge_run(run)
    store.write_bytes(run.feather, store.read_bytes(run.feather)[:-99])
    merge_unless_merged(run)
    assert verify_run(run) == []

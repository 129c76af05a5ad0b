"""common.store.manifest: what a merged file claims about itself, and what is not merged."""

import hashlib
import json
from dataclasses import asdict

import pytest

from common.errors import UsageError
from common.store import merge_run, verify_run
from common.store.manifest import read_manifest
from tests.common.storekit import WEIGHTS, make_run, put_part, read_feather

CPU, GPU = {"device": "cpu"}, {"device": "cuda:0"}


def test_the_file_carries_its_manifest_and_its_run(any_store):
    run = make_run(any_store, 7)
    paths = [put_part(run, range(4), failed=[2]), put_part(run, range(3, 7))]
    manifest = merge_run(run)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.rpartition("/")[2].encode())
        digest.update(any_store.read_bytes(path))
    assert asdict(manifest) == {
        "expected": 7,
        "found": 7,
        "failed": 1,
        "duplicates_dropped": 1,
        "partial": False,
        "parts": 2,
        "parts_sha256": digest.hexdigest(),
        "model_identities": [WEIGHTS],
        "choices": [{**CPU, "samples": 8}],
        "mixed_choices": False,
        "attempt": 1,
        "tries": {},
        "again": 0,
        "schema_version": 1,
    }
    metadata = read_feather(run).schema.metadata
    assert json.loads(metadata[b"self_ensemble.manifest"]) == asdict(manifest)
    assert json.loads(metadata[b"self_ensemble.run"]) == run.record.model_dump(mode="json")
    assert read_manifest(run) == manifest


def test_a_run_with_rows_missing_is_not_merged_unless_asked(any_store):
    run = make_run(any_store, 7)
    put_part(run, [0, 1, 5])
    with pytest.raises(UsageError, match=r"origin has 3 of 7 rows; .*--partial"):
        merge_run(run)
    assert not any_store.exists(run.feather)


def test_a_partial_file_says_that_it_is_one(any_store):
    run = make_run(any_store, 7)
    put_part(run, [5, 0, 1])
    manifest = merge_run(run, partial=True)
    assert (manifest.partial, manifest.expected, manifest.found) == (True, 7, 3)
    assert read_manifest(run).partial
    assert read_feather(run)["uuid"].to_pylist() == ["id0", "id1", "id5"]
    assert verify_run(run) == []


def test_a_complete_run_merged_with_partial_is_not_called_partial(store):
    run = make_run(store, 3)
    put_part(run, range(3))
    assert not merge_run(run, partial=True).partial


def test_a_partial_file_of_a_run_without_parts_has_the_columns_and_no_rows(store):
    run = make_run(store, 3)
    manifest = merge_run(run, partial=True)
    assert (manifest.found, manifest.parts) == (0, 0)
    assert read_feather(run).num_rows == 0
    assert read_feather(run).column_names[:3] == ["uuid", "paraphrases", "answers"]
    assert verify_run(run) == []


@pytest.mark.usefixtures("small_batches")
def test_a_partial_file_with_a_window_that_no_row_lies_in_holds_too(any_store):
    """One part of rows 0, 1 and 26: windows are [0, 8), [8, 16), [16, 24), [24, 29)."""
    run = make_run(any_store, 29)
    put_part(run, [0, 1, 26])
    merge_run(run, partial=True)
    assert read_feather(run)["uuid"].to_pylist() == ["id0", "id1", "id26"]
    assert verify_run(run) == []


def test_a_merge_of_mixed_choices_says_so_with_the_samples_of_each(any_store):
    run = make_run(any_store, 7)
    put_part(run, range(3), choices=CPU)
    put_part(run, range(3, 7), choices=GPU)
    manifest = merge_run(run)
    assert manifest.mixed_choices
    assert manifest.choices == [{**CPU, "samples": 3}, {**GPU, "samples": 4}]


def test_the_order_in_which_a_worker_lists_its_choices_is_no_other_choice(store):
    run = make_run(store, 4)
    put_part(run, [0, 1], choices={"device": "cpu", "dtype": "float32"})
    put_part(run, [2, 3], choices={"dtype": "float32", "device": "cpu"})
    assert not merge_run(run).mixed_choices


def test_another_reason_for_the_same_choice_is_no_other_choice(store):
    run = make_run(store, 4)
    put_part(run, [0, 1], reasons={"device": "torch sees no GPU"})
    put_part(run, [2, 3], reasons={"device": "SELF_ENSEMBLE_DEVICE asks for it"})
    assert not merge_run(run).mixed_choices


def test_mixed_weights_are_refused_and_both_are_named(any_store):
    run = make_run(any_store, 4)
    put_part(run, [0, 1], model_identity="hub:m@1")
    put_part(run, [2, 3], model_identity="hub:m@2")
    with pytest.raises(UsageError, match=r"different weights \(hub:m@1, hub:m@2\)"):
        merge_run(run)
    assert not any_store.exists(run.feather)


def test_a_part_written_without_a_model_mixes_no_weights(store):
    """A part of rows that were given up, for instance."""
    run = make_run(store, 4)
    put_part(run, [0, 1], failed=[0, 1], model_identity=None)
    put_part(run, [2, 3])
    assert merge_run(run).model_identities == [WEIGHTS]


def test_the_manifest_counts_the_failed_rows_that_are_in_the_file(any_store):
    """Row 3 is answered in the first part, which counts, and failed in the second."""
    run = make_run(any_store, 7)
    put_part(run, range(4))
    put_part(run, range(2, 7), failed=[3])
    manifest = merge_run(run)
    errors = read_feather(run)["error"]
    assert manifest.failed == len(errors) - errors.null_count

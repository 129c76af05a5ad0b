"""common.store.runs: making, opening, reading, pinning, deleting and listing runs."""

import json

import pyarrow as pa
import pytest

from common.errors import RejectShard, StopRun, UsageError
from common.run import RunKey
from common.store import RunFolder, list_runs, merge_run, open_run
from tests.common.storekit import (
    all_files,
    make_run,
    make_samples,
    make_spec,
    put_part,
    read_feather,
)


def without_votes(store):
    """Files of a store but the votes, with which an object store tells who created a run."""
    return [path for path in all_files(store) if not path.endswith(".vote")]


def test_a_run_is_a_record_and_a_snapshot(any_store):
    run = make_run(any_store, 7)
    assert without_votes(any_store) == [f"{run.key}/input.arrow", f"{run.key}/run.json"]
    record = json.loads(any_store.read_bytes(f"{run.key}/run.json"))
    assert record["key"] == str(run.key) == "quiz/owner--model/origin"
    assert record["fingerprint"] == run.spec.fingerprint
    assert record["provenance"] == {"host": "here"}
    assert record["spec"] == run.spec.model_dump(mode="json")


def test_a_run_that_was_made_is_opened_by_its_key(store):
    made = make_run(store, 7, name="avg-3", method="avg", num_paraphrases=3)
    run = open_run(store, RunKey.parse("quiz/owner--model/avg-3"))
    assert run.spec == made.spec
    assert run.method.name == "avg"
    assert run.feather_path == f"{store.root}/quiz/owner--model/avg-3.feather"


def test_a_run_that_is_not_there_is_named_together_with_the_store(store):
    with pytest.raises(UsageError, match=rf"run a/b/c is not in the store {store.uri}.*runs"):
        open_run(store, RunKey("a", "b", "c"))


def test_to_name_a_run_touches_no_file(store):
    assert not RunFolder(store, RunKey("a", "b", "c")).exists()
    assert all_files(store) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"key": "a/b/c"', b"\xff"])
def test_a_damaged_record_is_named_and_overwrite_is_offered(store, content):
    store.write_bytes("a/b/c/run.json", content)
    with pytest.raises(UsageError, match=r"a/b/c/run.json .*--overwrite"):
        _ = RunFolder(store, RunKey("a", "b", "c")).record


def test_a_record_with_a_field_of_another_version_is_refused(store):
    run = make_run(store)
    record = json.loads(store.read_bytes(run.file("run.json")))
    record["spec"]["temperature"] = 0.7
    store.write_bytes(run.file("run.json"), json.dumps(record).encode())
    with pytest.raises(UsageError, match="not a run record of this version"):
        _ = RunFolder(store, run.key).record


@pytest.mark.parametrize("rows", [[0], [3, 4], [10, 0, 7], [4, 4], list(range(11)), []])
def test_samples_are_read_in_the_order_asked_across_batches(any_store, small_batches, rows):
    run = make_run(any_store, 11, num_paraphrases=3)
    samples = make_samples(11, paraphrases=3)
    assert run.read_samples(rows) == [samples[row] for row in rows]


@pytest.mark.parametrize("rows", [[7], [0, 8], [-1], [2, 10**12]])
def test_a_row_that_is_not_there_rejects_the_shard(store, rows):
    run = make_run(store, 7)
    with pytest.raises(RejectShard, match=rf"has 7 rows, not row {rows[-1]}"):
        run.read_samples(rows)


def test_the_first_worker_pins_the_weights_and_the_same_ones_may_come_again(any_store):
    run = make_run(any_store)
    assert run.pinned_model() is None
    run.pin_model("hub:m@1")
    run.pin_model("hub:m@1")
    assert run.pinned_model() == "hub:m@1"


def test_other_weights_stop_the_run_and_both_are_named(any_store):
    run = make_run(any_store)
    run.pin_model("hub:m@1")
    with pytest.raises(StopRun, match=r"weights hub:m@1, .* holds hub:m@2; .*--overwrite"):
        run.pin_model("hub:m@2")
    assert run.pinned_model() == "hub:m@1"


def test_other_tokens_of_the_prompts_stop_the_run(any_store):
    run = make_run(any_store)
    run.pin_model("hub:m@1", prompts="aaaa")
    run.pin_model("hub:m@1", prompts="aaaa")
    with pytest.raises(StopRun, match=r"tokens aaaa, .* makes bbbb .*releases of transformers"):
        run.pin_model("hub:m@1", prompts="bbbb")


def test_noting_the_files_again_keeps_the_tokens_that_a_run_is_pinned_to(any_store):
    run = make_run(any_store)
    run.pin_model("hub:m@1", prompts="aaaa")
    run.note_model("hub:m@1", {"config.json": (7, 9)})
    assert run.pinned_files() == {"config.json": (7, 9)}
    with pytest.raises(StopRun, match="tokens aaaa"):
        run.pin_model("hub:m@1", prompts="bbbb")


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("columns", [None, ["prediction", "uuid"]])
def test_batches_are_the_merged_file_or_columns_of_it_in_the_order_asked(any_store, columns):
    run = make_run(any_store, 11)
    put_part(run, range(11))
    merge_run(run)
    table = read_feather(run)
    batches = list(run.batches(columns))
    assert max(len(batch) for batch in batches) <= 8
    expected = table if columns is None else run.read_result(columns)
    assert pa.Table.from_batches(batches).to_pylist() == expected.to_pylist()
    assert [batch.schema.names for batch in batches] == [expected.schema.names] * len(batches)
    if columns is not None:
        assert expected.to_pylist() == table.select(columns).to_pylist()


def test_a_file_without_rows_has_no_batches_and_its_columns_are_read(store):
    run = make_run(store, 3)
    merge_run(run, partial=True)
    assert list(run.batches()) == []
    assert run.read_result(["uuid"]).schema.names == ["uuid"]


@pytest.mark.parametrize(
    "read",
    [
        lambda run: next(run.batches()),
        lambda run: run.read_result(["uuid"]),
        RunFolder.open_result,
    ],
    ids=["batches", "read_result", "open_result"],
)
def test_a_run_without_a_merged_file_has_no_result_to_read(store, read):
    run = make_run(store, 3)
    with pytest.raises(UsageError, match=r"origin has no merged file yet; `producer merge quiz/"):
        read(run)


def test_deleting_a_run_leaves_its_neighbours(any_store):
    run, other = make_run(any_store, 3), make_run(any_store, 3, name="origin-b")
    put_part(run, range(3))
    merge_run(run)
    run.pin_model("hub:m@1")
    run.delete()
    assert not run.exists()
    assert without_votes(any_store) == [f"{other.key}/input.arrow", f"{other.key}/run.json"]


def test_runs_are_listed_in_the_order_of_their_keys(any_store):
    for name in ("c-5", "b", "a"):
        put_part(make_run(any_store, 3, name=name), [0, 2])
    any_store.write_bytes("run.json", b"too high")
    any_store.write_bytes("quiz/run.json", b"too high")
    any_store.write_bytes("quiz/owner--model/a/parts/run.json", b"too low")
    any_store.write_bytes("quiz/owner--model/half/input.arrow", b"has no record")
    assert [run.key.name for run in list_runs(any_store)] == ["a", "b", "c-5"]


def test_a_run_whose_name_begins_another_ones_is_listed_before_it(store):
    names = ["flex_attention-5", "flex_attention-5-shared"]
    for name in names:
        make_run(store, 3, name=name)
    assert [run.key.name for run in list_runs(store)] == names


def test_an_empty_store_lists_no_runs(any_store):
    assert list(list_runs(any_store)) == []


def test_a_spec_with_unicode_survives_the_store(any_store):
    run = make_run(any_store, few_shot=(("où est 東京?", "là 😀"),))
    assert RunFolder(any_store, run.key).spec.few_shot == (("où est 東京?", "là 😀"),)
    assert RunFolder(any_store, run.key).spec != make_spec()

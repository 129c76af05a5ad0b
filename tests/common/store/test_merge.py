"""common.store.merge: rows, order, columns and types of the merged file, on any file system."""

import pandas
import pyarrow as pa
import pytest

from common.errors import UsageError
from common.store import merge, merge_run, missing_rows, verify_run
from common.store.manifest import read_manifest
from tests.common.storekit import all_files, make_run, put_part, read_feather, shards

SINGLE = {
    "prediction": pa.string(), "tokens": pa.list_(pa.int32()),
    "token_logprobs": pa.list_(pa.float32()), "finish_reason": pa.string(),
}  # fmt: skip
OUTCOME = {
    "prediction": pa.string(), "generation": pa.string(), "reasoning": pa.string(),
    "tokens": pa.list_(pa.int32()), "token_logprobs": pa.list_(pa.float32()),
    "logprob": pa.float64(), "finish_reason": pa.string(),
}  # fmt: skip
SINGLES = {"singles": pa.list_(pa.struct(list(SINGLE.items())))}
ERROR = {"error": pa.string(), "error_kind": pa.string()}
SAMPLE = {
    "uuid": pa.string(), "paraphrases": pa.list_(pa.string()), "answers": pa.list_(pa.string())
}  # fmt: skip
PARAPHRASE = {"paraphrase": pa.string(), "prompt": pa.string()}


def columns(table):
    return list(zip(table.schema.names, table.schema.types, strict=True))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("size", [1, 3, 5, 8, 29])
def test_the_whole_way_from_samples_to_a_verified_file(any_store, size):
    run = make_run(any_store, 29)
    for rows in reversed(shards(range(29), size)):
        put_part(run, rows)
    assert missing_rows(run).tolist() == []
    manifest = merge_run(run)
    table = read_feather(run)
    assert table["uuid"].to_pylist() == [f"id{i}" for i in range(29)]
    assert table["paraphrases"].to_pylist() == [[f"question {i}.0?"] for i in range(29)]
    assert table["answers"].to_pylist() == [[f"gold {i}", "x"] for i in range(29)]
    assert table["prediction"].to_pylist() == [f"answer {i}.0" for i in range(29)]
    assert table["generation"].to_pylist() == [f" answer {i}.0\n" for i in range(29)]
    assert table["tokens"].to_pylist() == [[i, 0] for i in range(29)]
    assert table["token_logprobs"].to_pylist() == [[-0.5 * i, 0.0] for i in range(29)]
    assert table["logprob"].to_pylist() == pytest.approx([-0.5 * i for i in range(29)])
    assert set(table["finish_reason"].to_pylist()) == {"stop:\\n"}
    assert table["error"].null_count == 29
    assert (manifest.found, manifest.parts) == (29, -(-29 // size))
    assert verify_run(run) == []
    assert not [path for path in all_files(any_store) if path.endswith(".tmp")]


@pytest.mark.parametrize(("method", "more"), [("origin", {}), ("avg", SINGLES)])
def test_columns_are_these_in_this_order_with_these_types(store, method, more):
    run = make_run(store, 3, method=method, num_paraphrases=3)
    put_part(run, range(3))
    merge_run(run)
    assert columns(read_feather(run)) == list((SAMPLE | OUTCOME | more | ERROR).items())


@pytest.mark.usefixtures("small_batches")
def test_per_prompt_has_a_row_for_each_paraphrase_with_the_paraphrase_and_its_prompt(any_store):
    run = make_run(any_store, 9, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    for rows in shards(range(9), 5):
        put_part(run, rows, failed=[6] if 6 in rows else [])
    manifest = merge_run(run)
    table = read_feather(run)
    pairs = [(i, w) for i in range(9) for w in range(3)]
    assert columns(table) == list((SAMPLE | PARAPHRASE | OUTCOME | ERROR).items())
    assert table["uuid"].to_pylist() == [f"id{i}" for i, _ in pairs]
    paraphrases = [f"question {i}.{w}?" for i, w in pairs]
    assert table["paraphrase"].to_pylist() == paraphrases
    assert table["prompt"].to_pylist() == [f"Q: {paraphrase}\nA:" for paraphrase in paraphrases]
    assert table["prediction"].to_pylist() == [
        None if i == 6 else f"answer {i}.{w}" for i, w in pairs
    ]
    assert (manifest.expected, manifest.found, manifest.failed) == (9, 9, 1)
    assert verify_run(run) == []


def test_pandas_opens_the_file(store):
    run = make_run(store, 5)
    put_part(run, range(5), failed=[4])
    merge_run(run)
    frame = pandas.read_feather(run.feather_path)
    assert list(frame.columns) == [*SAMPLE, *OUTCOME, *ERROR]
    assert frame["prediction"].tolist()[:4] == [f"answer {i}.0" for i in range(4)]
    assert frame["error"].tolist()[4] == "it broke"
    assert list(frame["paraphrases"][2]) == ["question 2.0?"]


def test_a_failed_row_keeps_its_place_and_its_reason(any_store):
    run = make_run(any_store, 5)
    put_part(run, range(5), failed=[1, 3])
    manifest = merge_run(run)
    table = read_feather(run)
    assert table["error"].to_pylist() == [None, "it broke", None, "it broke", None]
    assert table["uuid"].to_pylist() == [f"id{i}" for i in range(5)]
    assert table["prediction"].to_pylist()[1] is None
    assert manifest.failed == 2


@pytest.mark.usefixtures("small_batches")
def test_a_row_held_by_two_parts_comes_out_once_and_is_counted(any_store):
    run = make_run(any_store, 13)
    for rows in (range(13), range(3, 9), [3, 12]):
        put_part(run, rows)
    manifest = merge_run(run)
    assert read_feather(run)["uuid"].to_pylist() == [f"id{i}" for i in range(13)]
    assert (manifest.found, manifest.duplicates_dropped) == (13, 8)
    assert verify_run(run) == []


def test_merging_again_gives_the_same_bytes(any_store):
    run = make_run(any_store, 7)
    put_part(run, range(7))
    merge_run(run)
    first = any_store.read_bytes(run.feather)
    merge_run(run)
    assert any_store.read_bytes(run.feather) == first


def test_a_part_that_answers_other_samples_is_refused(store):
    run, other = make_run(store, 5), make_run(store, 5, name="other")
    path = put_part(run, range(5))
    answers = store.open_arrow(path).read_all()
    swapped = answers.set_column(2, "uuid", pa.array([f"id{i + 1}" for i in range(5)]))
    table = swapped.cast(answers.schema)
    with store.write(path) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UsageError, match="answers other samples"):
        merge_run(run)
    assert not store.exists(run.feather)
    assert other.exists()


@pytest.mark.parametrize("rows", [range(3, 5), range(3, 7)], ids=["not the last", "the last"])
def test_a_partial_merge_that_is_overtaken_by_parts_and_a_merge_ends_with_a_true_file(
    store, monkeypatch, rows
):
    run = make_run(store, 7)
    put_part(run, range(3))
    windows = merge.merged_windows

    def overtaken(of, *others):
        monkeypatch.setattr(merge, "merged_windows", windows)
        put_part(run, rows)
        merge_run(run, partial=True)
        yield from windows(of, *others)

    monkeypatch.setattr(merge, "merged_windows", overtaken)
    merge_run(run, partial=True)
    claimed = read_manifest(run)
    assert claimed.found == len(read_feather(run))
    assert claimed.partial is (rows.stop < 7)


def test_a_merge_that_is_overtaken_by_another_does_not_bring_back_its_older_file(
    store, monkeypatch
):
    """Several may merge a run at once, and one of them knows of a part that came late."""
    run = make_run(store, 7)
    put_part(run, range(7), failed=[3])
    windows = merge.merged_windows

    def overtaken(of, *others):
        monkeypatch.setattr(merge, "merged_windows", windows)
        yield from windows(of, *others)
        put_part(run, range(3, 7), attempt=2)
        merge_run(run)

    monkeypatch.setattr(merge, "merged_windows", overtaken)
    merge_run(run)
    assert read_feather(run)["error"].null_count == 7
    assert verify_run(run) == []

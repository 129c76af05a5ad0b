"""common.store.verify: it names what was changed after the merge, whatever it is."""

import json
import re

import pyarrow as pa
import pytest

from common.errors import UsageError
from common.store import RunFolder, list_parts, merge_run, verify_run
from common.store.parts import part_path, write_part
from tests.common.storekit import make_answer, make_info, make_run, put_part, read_feather, shards


@pytest.fixture
def merged(store, small_batches):
    run = make_run(store, 19)
    for rows in shards(range(19), 5):
        put_part(run, rows, failed=[7] if 7 in rows else [])
    merge_run(run)
    assert verify_run(run) == []
    return run


def named(problems):
    return {problem.partition(":")[0] for problem in problems}


def rewrite_feather(run, table):
    with run.store.write(run.feather) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def test_it_holds_after_merging_again(merged):
    merge_run(merged)
    assert verify_run(merged) == []


def write_anew(run, info, answers):
    run.store.delete(part_path(run, info))
    write_part(run, info, answers)


def test_it_fails_after_an_answer_in_a_part_was_edited(merged):
    answers = [make_answer(merged, row) for row in range(5, 10)]
    answers[1] = make_answer(merged, 6, error="somebody says so")
    write_anew(merged, make_info(merged, range(5, 10), failed=(7,)), answers)
    assert named(verify_run(merged)) == {"parts_sha256"}


def test_it_names_every_figure_that_a_deleted_part_changes(merged):
    merged.store.delete(list_parts(merged)[1])
    problems = verify_run(merged)
    assert named(problems) == {
        "found", "failed", "partial", "parts", "parts_sha256", "choices"
    }  # fmt: skip
    assert "found: the file claims 19, the parts give 14" in problems


def test_it_names_every_figure_that_another_part_changes(merged):
    put_part(merged, [0, 1], choices={"device": "cuda:0"})
    assert named(verify_run(merged)) == {
        "duplicates_dropped", "parts", "parts_sha256", "choices", "mixed_choices"
    }  # fmt: skip


@pytest.mark.parametrize(
    "order",
    [[1, 0, *range(2, 19)], [*range(18, -1, -1)], [*range(18)], [*range(19), 18], []],
    ids=["two swapped", "all reversed", "one dropped", "one doubled", "none left"],
)
def test_it_fails_when_rows_of_the_file_are_not_those_of_the_parts(merged, order):
    rewrite_feather(merged, read_feather(merged).take(pa.array(order, pa.int64())))
    assert named(verify_run(merged)) == {"rows"}


def test_it_fails_when_a_batch_was_appended_to_the_file(merged):
    reader = merged.store.open_arrow(merged.feather)
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    with (
        merged.store.write(merged.feather) as sink,
        pa.ipc.new_file(sink, reader.schema) as writer,
    ):
        for batch in [*batches, batches[-1]]:
            writer.write_batch(batch)
    assert named(verify_run(merged)) == {"rows"}


@pytest.mark.parametrize("column", ["prediction", "uuid", "generation"])
def test_it_fails_when_one_cell_of_the_file_was_edited(merged, column):
    table = read_feather(merged)
    values = table[column].to_pylist()
    values[11] = "edited"
    index = table.column_names.index(column)
    changed = table.set_column(index, table.schema.field(index), pa.array(values, pa.string()))
    rewrite_feather(merged, changed.replace_schema_metadata(table.schema.metadata))
    assert named(verify_run(merged)) == {"rows"}


def test_it_fails_when_the_run_record_is_another_one(merged):
    path = merged.file("run.json")
    record = json.loads(merged.store.read_bytes(path))
    record["provenance"]["host"] = "elsewhere"
    merged.store.write_bytes(path, json.dumps(record).encode())
    assert named(verify_run(RunFolder(merged.store, merged.key))) == {"run"}


def test_it_refuses_a_part_that_does_not_hold_the_rows_it_names(merged):
    answers = [make_answer(merged, row) for row in range(4)]
    write_anew(merged, make_info(merged, range(5)), answers)
    with pytest.raises(UsageError, match="does not hold the rows it names"):
        verify_run(merged)


def test_it_refuses_a_run_that_is_not_merged_and_says_how_to(store):
    run = make_run(store, 3)
    with pytest.raises(UsageError, match=r"no merged file yet; `producer merge quiz/"):
        verify_run(run)


def test_it_refuses_a_file_without_a_manifest(merged):
    rewrite_feather(merged, read_feather(merged).replace_schema_metadata())
    with pytest.raises(UsageError, match="carries no manifest"):
        verify_run(merged)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_named_in_an_error_of_ours(merged, kept):
    whole = merged.store.read_bytes(merged.feather)
    merged.store.write_bytes(merged.feather, whole[: int(len(whole) * kept)])
    with pytest.raises(UsageError, match=r"origin\.feather"):
        verify_run(merged)


def test_a_part_with_a_damaged_column_is_named_in_a_problem_or_an_error_of_ours(merged):
    """Each column is a zstd frame; a frame that does not begin as one cannot be read."""
    path = list_parts(merged)[1]
    whole = merged.store.read_bytes(path)
    magic = re.escape(b"\x28\xb5\x2f\xfd")
    frames = [match.start() for match in re.finditer(magic, whole)]
    assert frames
    for start in frames:
        damaged = whole[:start] + b"\0" + whole[start + 1 :]
        merged.store.write_bytes(path, damaged)
        try:
            complaints = verify_run(merged)
        except UsageError as error:
            complaints = [str(error)] if path in str(error) else []
        assert complaints

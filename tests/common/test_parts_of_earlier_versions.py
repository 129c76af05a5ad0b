"""Parts written before there were paraphrases, confidences and singles are read and merged."""

import pyarrow as pa
import pytest
from stepkit import questions
from storekit import make_answer, make_info, make_run, put_part, read_feather

from common.schema import META_PART, PART_SCHEMA
from common.store import merge_run, read_progress, verify_run
from common.store.part_files import read_part
from common.store.parts import part_path

EARLIER = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("wording", pa.int32(), nullable=False),
        pa.field("uuid", pa.string(), nullable=False),
        ("paraphrase", pa.string()), ("prompt", pa.string()), ("prediction", pa.string()),
        ("generation", pa.string()), ("tokens", pa.list_(pa.int32())), ("logprob", pa.float64()),
        ("finish_reason", pa.string()), ("error", pa.string()),
    ]
)  # fmt: skip
"""The columns of the first version, as it had them."""

NEW = sorted(set(PART_SCHEMA.names) - set(EARLIER.names))


def put_earlier_part(run, rows, failed=()):
    """A part as the first version wrote it."""
    wordings = range(run.spec.num_paraphrases if run.method.row_per_wording else 1)
    answers = [
        make_answer(run, row, w, "it broke" if row in failed else None)
        for row in rows
        for w in wordings
    ]
    info = make_info(run, rows, failed=tuple(failed))
    schema = EARLIER.with_metadata({META_PART: info.model_dump_json().encode()})
    rows_of_it = [{name: getattr(a, name) for name in EARLIER.names} for a in answers]
    path = part_path(run, info.rows)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.location.write(path) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_pylist(rows_of_it, schema=schema))
    return path


def test_there_are_new_columns_for_this_to_be_about():
    assert NEW == [
        "confidence", "draws", "paraphrases", "problems", "sampled", "singles", "token_logprobs",
    ]  # fmt: skip


def test_new_columns_are_there_in_their_place_and_empty(any_store):
    run = make_run(any_store, 7)
    table = read_part(any_store, put_earlier_part(run, range(7), failed=[2]))
    assert table.schema.equals(PART_SCHEMA)
    assert all(table[name].null_count == 7 for name in NEW)
    expected = [None if row == 2 else f"answer {row}.0" for row in range(7)]
    assert table["prediction"].to_pylist() == expected
    assert table["uuid"].to_pylist() == [s.uuid for s in questions(7)]


@pytest.mark.parametrize(("method", "width"), [("origin", 1), ("avg", 3), ("per_prompt", 3)])
def test_a_run_begun_by_an_earlier_version_is_finished_by_this_one(any_store, method, width):
    run = make_run(any_store, 7, method=method, num_paraphrases=width)
    put_earlier_part(run, range(4), failed=[1])
    put_part(run, range(4, 7))
    progress = read_progress(run)
    assert (progress.ok, progress.failed, progress.missing) == (6, 1, 0)
    merge_run(run)
    assert verify_run(run) == []
    table = read_feather(run)
    rows = 7 * width if method == "per_prompt" else 7
    assert table.num_rows == rows
    old = table.slice(0, rows * 4 // 7)
    assert old["token_logprobs"].null_count == len(old)
    assert table["error"].to_pylist().count("it broke") == rows // 7
    assert table["prediction"][-1].as_py() == f"answer 6.{width - 1 if rows > 7 else 0}"


def test_columns_this_version_does_not_know_are_no_part_of_it(any_store):
    """A later version's part is merged from the columns that both know."""
    run = make_run(any_store, 3)
    path = put_part(run, range(3))
    table = any_store.open_arrow(path).read_all()
    later = table.append_column("soon", pa.array([1, 2, 3]))
    with any_store.write(path) as sink, pa.ipc.new_file(sink, later.schema) as writer:
        writer.write_table(later)
    merge_run(run)
    assert "soon" not in read_feather(run).column_names

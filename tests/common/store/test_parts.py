"""common.store.parts: content of parts, doing a shard twice, what is missing."""

import pytest

from common.schema import PART_SCHEMA
from common.store import list_parts, missing_rows
from common.store.parts import read_info, read_part, write_part
from tests.common.storekit import make_answer, make_info, make_run, put_part, shards


def test_a_part_says_what_it_holds(any_store):
    run = make_run(any_store, 7)
    path = put_part(run, [4, 2], failed=[4], started=5.0, finished=9.5)
    assert list_parts(run) == [path]
    assert read_info(run, path) == make_info(run, (2, 4), failed=(4,), started=5.0, finished=9.5)
    table = read_part(any_store, path)
    assert table.schema.equals(PART_SCHEMA)
    assert table["row"].to_pylist() == [2, 4]
    assert table["prediction"].to_pylist() == ["answer 2.0", None]
    assert table["error"].to_pylist() == [None, "it broke"]


def test_rows_inside_a_part_are_ordered_by_row_and_paraphrase_however_they_come(store):
    run = make_run(store, 5, name="per_prompt-3", method="per_prompt", num_paraphrases=3)
    pairs = [(0, 0), (0, 1), (0, 2), (3, 0), (3, 1), (3, 2)]
    answers = [make_answer(run, row, paraphrase) for row, paraphrase in pairs[::-1]]
    table = read_part(store, write_part(run, make_info(run, [0, 3]), answers))
    assert (
        list(zip(table["row"].to_pylist(), table["paraphrase_index"].to_pylist(), strict=True))
        == pairs
    )


def test_doing_a_shard_twice_leaves_the_file_as_it_is(any_store):
    run = make_run(any_store, 7)
    first = put_part(run, range(3), worker="one")
    assert put_part(run, range(3), worker="two") == first
    assert list_parts(run) == [first]
    assert read_info(run, first).worker == "one"


def test_a_part_that_cannot_be_finished_is_no_part(any_store):
    run = make_run(any_store, 7)

    def answers():
        yield from ()
        raise RuntimeError("the engine broke")

    with pytest.raises(RuntimeError, match="the engine broke"):
        write_part(run, make_info(run, [0, 1]), answers())
    assert list_parts(run) == []


def test_files_that_are_no_parts_are_passed_over(any_store):
    run = make_run(any_store, 7)
    path = put_part(run, range(3))
    any_store.write_bytes(f"{path}.0123456789ab.tmp", b"somebody is writing")
    assert list_parts(run) == [path]
    assert missing_rows(run).tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("sizes", [(3, 2), (7, 1), (2, 5), (4, 4)])
def test_a_row_is_missing_only_if_no_part_of_any_shard_size_holds_it(any_store, sizes):
    run = make_run(any_store, 11)
    assert missing_rows(run).tolist() == list(range(11))
    for size, left_out in zip(sizes, (1, 2), strict=True):
        for number, rows in enumerate(shards(range(11), size)):
            if number != left_out:
                put_part(run, rows)
    per_size = [
        set(range(size * n, size * n + size)) for size, n in zip(sizes, (1, 2), strict=True)
    ]
    assert set(missing_rows(run).tolist()) == set.intersection(*per_size) & set(range(11))

"""producer.prepare.prepare on runs that exist: messages for missing rows alone, or a refusal."""

import pytest

from common.errors import UsageError
from common.planning.sharding import messages_for
from common.store import list_parts, merge_run
from producer.prepare import prepare
from tests.common.storekit import all_files, put_part, shards


def snapshot(store):
    return {path: store.read_bytes(path) for path in all_files(store)}


def sent(prepared):
    """(names of runs, rows) of every message."""
    return [([r.rpartition("/")[2] for r in m.runs], m.row_numbers()) for m in prepared.messages]


@pytest.fixture
def complete_run(ask, store):
    """avg-3, with all its rows in shards of four."""
    (run,) = prepare(ask(), store).runs
    for rows in shards(range(11), 4):
        put_part(run, rows)
    return run


def test_a_run_that_was_never_worked_on_is_sent_again_whole(ask, store):
    first = prepare(ask(), store)
    before = snapshot(store)
    assert prepare(ask(), store).messages == first.messages
    assert snapshot(store) == before


@pytest.mark.parametrize("size", [1, 4, 64])
def test_nothing_is_sent_for_a_run_that_is_complete(ask, store, complete_run, size):
    before = snapshot(store)
    assert prepare(ask(shard_size=size), store).messages == ()
    assert snapshot(store) == before


def test_failed_rows_count_as_done(ask, store):
    (run,) = prepare(ask(), store).runs
    put_part(run, range(11), failed=[2, 3])
    assert prepare(ask(), store).messages == ()


@pytest.mark.parametrize(
    ("size", "rows"), [(4, [[4, 5, 6, 7]]), (3, [[4, 5, 6], [7]]), (64, [[4, 5, 6, 7]])]
)
def test_only_the_rows_of_a_deleted_part_are_sent(ask, store, complete_run, size, rows):
    store.delete(list_parts(complete_run)[1])
    assert sent(prepare(ask(shard_size=size), store)) == [(["avg-3"], r) for r in rows]


def test_who_names_no_size_sends_shards_of_the_size_the_run_was_made_with(
    ask, store, complete_run
):
    """As a worker does for dependent runs."""
    store.delete(list_parts(complete_run)[0])
    (run,) = prepare(ask(shard_size=3), store).runs
    assert [message.row_numbers() for message in messages_for([run])] == [[0, 1, 2, 3]]


def test_rows_far_apart_go_into_one_shard(ask, store, complete_run):
    for number in (2, 0):
        store.delete(list_parts(complete_run)[number])
    (message,) = prepare(ask(shard_size=64), store).messages
    assert message.rows == [(0, 4), (8, 11)]


def test_a_method_that_comes_later_gets_messages_of_its_own(ask, store, complete_run):
    both = prepare(ask(methods=("avg", "max"), shard_size=64), store)
    assert sent(both) == [(["max-3"], list(range(11)))]


def test_rows_missed_by_the_same_runs_go_together(ask, store, complete_run):
    (other,) = prepare(ask(methods=("max",)), store).runs
    put_part(other, [0, 1, 8])
    store.delete(list_parts(complete_run)[2])
    both = prepare(ask(methods=("avg", "max"), shard_size=64), store)
    assert sent(both) == [
        (["avg-3", "max-3"], [9, 10]),
        (["max-3"], [2, 3, 4, 5, 6, 7]),
        (["avg-3"], [8]),
    ]


CHANGES = [
    ({"max_new_tokens": 9}, {"max_new_tokens": ("20", "9")}),
    ({"dtype": "auto"}, {"dtype": ("float32", "auto")}),
    ({"max_samples": 10}, {"num_samples": ("11", "10"), "dataset_sha256": None}),
    ({"max_new_tokens": 9, "dtype": "float16"}, {"max_new_tokens": None, "dtype": None}),
]


@pytest.mark.parametrize(("changes", "fields"), CHANGES)
def test_a_changed_option_is_refused_with_every_field_and_nothing_changes(
    ask, store, complete_run, changes, fields
):
    before = snapshot(store)
    with pytest.raises(UsageError) as refused:
        prepare(ask(**changes), store)
    message = str(refused.value)
    assert message.startswith("run quiz/owner--model/avg-3 exists with another fingerprint: ")
    assert "--overwrite" in message
    assert message.count(" there and ") == len(fields)
    for field, values in fields.items():
        old, new = values or ("", "")
        assert f"{field} is '{old}" in message
        assert f" there and '{new}" in message
    assert snapshot(store) == before


def test_changed_questions_are_refused(ask, store, complete_run, quiz):
    quiz.write_text(quiz.read_text().replace("gold 7", "gold seven"))
    with pytest.raises(UsageError, match="dataset_sha256 is "):
        prepare(ask(), store)


def test_one_changed_run_keeps_its_company_from_being_made(ask, store, complete_run):
    before = snapshot(store)
    with pytest.raises(UsageError, match="avg-3 exists"):
        prepare(ask(methods=("max", "avg"), max_new_tokens=9), store)
    assert snapshot(store) == before


@pytest.mark.parametrize("changes", [{}, {"max_new_tokens": 9}])
def test_overwrite_deletes_results_and_the_merged_file(ask, store, complete_run, changes):
    merge_run(complete_run)
    complete_run.pin_model("hub:m@1")
    prepared = prepare(ask(overwrite=True, **changes), store)
    (run,) = prepared.runs
    assert all_files(store) == [run.file("input.arrow"), run.file("run.json")]
    assert run.spec.max_new_tokens == changes.get("max_new_tokens", 20)
    assert [row for _, rows in sent(prepared) for row in rows] == list(range(11))


def test_overwrite_spares_the_runs_that_were_not_asked_for(ask, store, complete_run):
    prepare(ask(methods=("max",), overwrite=True), store)
    assert len(list_parts(complete_run)) == 3

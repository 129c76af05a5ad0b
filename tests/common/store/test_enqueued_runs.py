"""common.store.enqueued: the list of the runs that somebody has to look for."""

from common.store.enqueued import forget_enqueued, list_enqueued, note_enqueued
from common.store.run_listing import list_runs
from tests.common.storekit import all_files, make_run


def test_a_run_is_listed_in_its_namespace_until_it_is_forgotten(any_store):
    run, other = make_run(any_store, 2), make_run(any_store, 2, name="avg-5")
    for noted in (run, other, run):
        note_enqueued(noted, "se")
    note_enqueued(run, "theirs")
    assert [found.key for found in list_enqueued(any_store, "se")] == [other.key, run.key]
    forget_enqueued(other, "se")
    forget_enqueued(other, "se")
    assert [found.key for found in list_enqueued(any_store, "se")] == [run.key]
    assert [found.key for found in list_enqueued(any_store, "theirs")] == [run.key]


def test_the_list_is_no_run(any_store):
    run = make_run(any_store, 2)
    note_enqueued(run, "se")
    assert [found.key for found in list_runs(any_store)] == [run.key]


def test_a_file_that_is_just_being_written_is_left_alone(any_store):
    any_store.write_bytes(".enqueued/se/quiz/owner--model/origin.0123456789ab.tmp", b"")
    any_store.write_bytes(".enqueued/se/not-a-key", b"")
    before = all_files(any_store)
    assert list_enqueued(any_store, "se") == []
    assert all_files(any_store) == before

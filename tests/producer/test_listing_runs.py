"""producer.listing: a listing while runs are deleted and overwritten."""

import pytest

from common.store import read_progress
from producer import listing
from producer.listing import list_every_run
from tests.common.storekit import make_run, put_part


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something after the record of the run was read, and before its parts are."""

    def arrange(key, do):
        def late(run, files):
            assert run.record
            if run.key == key:
                do()
                raise FileNotFoundError("a part is gone")
            return read_progress(run, files)

        monkeypatch.setattr(listing, "read_progress", late)

    return arrange


@pytest.mark.parametrize("again", [False, True])
def test_a_run_that_goes_while_it_is_read_hides_no_other(store, meanwhile, again):
    run, other = make_run(store, 7), make_run(store, 7, name="origin-b")
    put_part(run, range(7))
    meanwhile(run.key, lambda: (run.delete(), again and make_run(store, 7)))
    listed = list_every_run(store)
    assert [found.key for found, _ in listed.runs] == [other.key]
    assert listed.damaged == {}


def test_a_file_that_is_missing_from_a_run_that_stands_is_an_error(store, meanwhile):
    run = make_run(store, 7)
    meanwhile(run.key, lambda: None)
    with pytest.raises(FileNotFoundError):
        list_every_run(store)


def test_what_a_deletion_left_is_listed_as_nothing(store, monkeypatch):
    run = make_run(store, 7)
    put_part(run, range(7))
    with monkeypatch.context() as patch:
        patch.setattr("common.store.runs.sweep", lambda *_: None)
        run.delete()
    assert [path for path in store.list("", recursive=True) if "/.deleted/" in path]
    assert list_every_run(store).is_empty

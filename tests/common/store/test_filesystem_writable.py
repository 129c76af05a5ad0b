"""common.store.filesystem: a store that cannot be written is refused in one clear sentence."""

import os
import sys

import pytest

from common.errors import UsageError
from common.store import StoreFilesystem
from tests.common.permissions import allowing
from tests.common.storekit import all_files, memory_store


def refusal(store):
    with pytest.raises(UsageError) as refused:
        store.check_writable()
    message = str(refused.value)
    assert message.startswith(f"store {store.uri} cannot be written")
    assert message.endswith("; name another with --store or SELF_ENSEMBLE_STORE")
    assert "\n" not in message
    return message


def test_a_writable_store_is_left_as_it_was(any_store):
    any_store.check_writable()
    assert all_files(any_store) == []


def test_a_store_that_does_not_exist_yet_is_made(store):
    store.check_writable()
    assert StoreFilesystem.open(store.root).exists("")


@pytest.mark.parametrize("below", ["", "/runs", "/not/yet/there"])
def test_a_directory_that_may_not_be_written_is_refused_with_its_owner(tmp_path, below):
    with allowing(tmp_path, 0o555):
        message = refusal(StoreFilesystem.open(f"{tmp_path}{below}"))
    assert f" by {os.geteuid()} ({tmp_path} belongs to {tmp_path.owner()}): " in message
    assert "Permission denied" in message


def test_a_directory_inside_one_that_may_not_be_entered_is_refused_alike(tmp_path):
    with allowing(tmp_path, 0o000):
        message = refusal(StoreFilesystem.open(f"{tmp_path}/private/runs"))
    assert "Permission denied" in message


@pytest.mark.parametrize("below", ["", "/runs"])
def test_a_file_is_no_store(tmp_path, below):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert f"({file} belongs to " in refusal(StoreFilesystem.open(f"{file}{below}"))
    assert file.read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no new folder, not even root's")
def test_a_place_where_no_folder_can_be_made_is_refused():
    assert "(/proc belongs to root)" in refusal(StoreFilesystem.open("/proc/runs"))


def test_a_remote_store_that_denies_is_refused_without_talk_of_owners(monkeypatch):
    remote = memory_store()

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(remote.filesystem.handler.fs, "_open", deny)
    assert refusal(remote).startswith(
        "store memory://bucket/runs cannot be written: Permission denied; "
    )

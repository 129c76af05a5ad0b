"""common.store.filesystem: opening stores, and files that appear whole or not at all."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import UsageError
from common.store import StoreFilesystem
from tests.common.storekit import all_files


def test_a_plain_path_is_a_local_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = StoreFilesystem.open("runs/here")
    assert store.is_local
    assert store.root == str(tmp_path / "runs" / "here")
    assert (store.uri, store.path("a/b")) == ("runs/here", f"{tmp_path}/runs/here/a/b")


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert StoreFilesystem.open("~/runs").root == str(tmp_path / "runs")


def test_a_tilde_of_nobody_is_refused():
    with pytest.raises(UsageError):
        StoreFilesystem.open("~no-such-user/runs")


def test_a_file_uri_and_a_path_are_the_same_store(tmp_path):
    by_uri = StoreFilesystem.open(f"file://{tmp_path}/runs/")
    by_uri.write_bytes("a/b.txt", b"hello")
    assert by_uri.is_local
    assert StoreFilesystem.open(str(tmp_path / "runs")).read_bytes("a/b.txt") == b"hello"


@pytest.mark.parametrize("uri", ["nonsense://x", "gs://x y/", "file://relative", "://"])
def test_an_uri_that_pyarrow_does_not_open_is_refused_by_name(uri):
    with pytest.raises(UsageError, match=r"pyarrow\.fs") as refused:
        StoreFilesystem.open(uri)
    assert repr(uri) in str(refused.value)


@pytest.mark.parametrize("form", ["{}/caf\udce9", "file://{}/caf\udce9"])
def test_a_path_that_is_no_utf_8_is_refused_in_a_sentence(tmp_path, form):
    """As a shell gives it, or Python in a locale without UTF-8."""
    with pytest.raises(UsageError, match=r"must be UTF-8.*PYTHONUTF8=1") as refused:
        StoreFilesystem.open(form.format(tmp_path))
    assert str(refused.value).isascii()


def test_a_complaint_of_the_file_system_is_cut_to_one_line(monkeypatch):
    """hdfs:// without Java gives one line for each place that was looked at."""

    def refuse(uri):
        raise OSError("cannot load libhdfs\n" + "dlopen failed\n" * 99)

    broken = SimpleNamespace(FileSystem=SimpleNamespace(from_uri=refuse))
    monkeypatch.setattr("common.store.filesystem.fs", broken)
    with pytest.raises(UsageError) as refused:
        StoreFilesystem.open("hdfs://host/runs")
    assert "\n" not in str(refused.value)


def test_what_is_written_is_read_listed_and_deleted(any_store):
    for name in ("b/2.txt", "b/1.txt", "b/c/3.txt", "top.txt"):
        any_store.write_bytes(name, name.encode())
    assert any_store.read_bytes("b/c/3.txt") == b"b/c/3.txt"
    assert any_store.list("b") == ["b/1.txt", "b/2.txt"]
    assert all_files(any_store) == ["b/1.txt", "b/2.txt", "b/c/3.txt", "top.txt"]
    any_store.delete("top.txt")
    any_store.delete("b/c")
    any_store.delete("never/was")
    assert all_files(any_store) == ["b/1.txt", "b/2.txt"]
    assert any_store.exists("b/1.txt")
    assert not any_store.exists("b/c/3.txt")


def test_a_folder_that_is_not_there_holds_nothing(any_store):
    assert any_store.list("nowhere") == all_files(any_store) == []


def test_folders_are_listed_without_files_and_without_what_is_in_them(any_store):
    for path in ("a/file", "a/z/deep/file", "a/b/file"):
        any_store.write_bytes(path, b"")
    assert any_store.list_folders("a") == ["a/b", "a/z"]
    assert any_store.list_folders("none") == []


def test_a_second_writing_replaces_the_first(any_store):
    any_store.write_bytes("a.txt", b"first, and longer")
    any_store.write_bytes("a.txt", b"second")
    assert any_store.read_bytes("a.txt") == b"second"


def test_moving_makes_the_folder_it_moves_into(any_store):
    any_store.write_bytes("a.txt", b"x")
    any_store.move("a.txt", "new/folder/b.txt")
    assert all_files(any_store) == ["new/folder/b.txt"]


def test_nothing_is_seen_under_the_name_before_the_block_ends(any_store):
    with any_store.write("a/b.txt") as sink:
        sink.write(b"half")
        assert not any_store.exists("a/b.txt")
    assert all_files(any_store) == ["a/b.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_exception_inside_the_block_leaves_what_was_there_before(any_store, error):
    def write_half():
        with any_store.write("a/b.txt") as sink:
            sink.write(b"half")
            raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        write_half()
    assert all_files(any_store) == []
    any_store.write_bytes("a/b.txt", b"whole")
    with pytest.raises(error, match="in the middle"):
        write_half()
    assert all_files(any_store) == ["a/b.txt"]
    assert any_store.read_bytes("a/b.txt") == b"whole"


def test_a_rename_that_fails_leaves_no_temporary_file(store, monkeypatch):
    (Path(store.root) / "a").mkdir(parents=True)
    (Path(store.root) / "a" / "folder").mkdir()
    (Path(store.root) / "a" / "folder" / "x").touch()
    with pytest.raises(OSError, match="folder"):
        store.write_bytes("a/folder", b"cannot replace a folder")
    assert all_files(store) == ["a/folder/x"]


def test_a_local_file_is_on_the_disk_before_it_gets_its_name(store, monkeypatch):
    synced = []

    def note(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, all_files(store)))

    monkeypatch.setattr("os.fsync", note)
    store.write_bytes("a/b.txt", b"x")
    (file, before), (folder, after) = synced
    assert (file, folder) == (Path(before[0]).name, "a")
    assert file.endswith(".tmp")
    assert after == ["a/b.txt"]

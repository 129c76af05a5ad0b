"""A link below a store's root that leads outside it is refused; the root itself may be one."""

from pathlib import Path

import pytest

from common.errors import UsageError
from common.store import StoreFilesystem, list_runs, open_run, read_progress
from tests.common.storekit import make_run, put_part


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    return folder


@pytest.fixture
def run(store):
    run = make_run(store)
    put_part(run, [0, 1])
    return run


def replaced_by_link(store, relative, target):
    """Move a folder of the store to `target`, and put a link in its place."""
    Path(store.path(relative)).rename(target)
    Path(store.path(relative)).symlink_to(target)


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.exists("a/b/kept.txt"),
        lambda store: store.list("a/b"),
        lambda store: store.read_bytes("a/b/kept.txt"),
        lambda store: store.open_arrow("a/b/kept.txt"),
        lambda store: store.write_bytes("a/b/new.txt", b"new"),
        lambda store: store.create("a/b/new.txt", b"new"),
        lambda store: store.move("a/b/kept.txt", "c.txt"),
        lambda store: store.move("here.txt", "a/b/here.txt"),
        lambda store: store.delete("a/b/kept.txt"),
        lambda store: store.delete("a/b"),
        lambda store: store.empty("a/b"),
    ],
    ids=["exists", "list", "read", "open", "write", "create", "move out", "move in", "delete",
         "delete the link", "empty"],
)  # fmt: skip
def test_whatever_is_done_behind_it_is_refused_with_the_path_and_where_it_leads(
    store, outside, use
):
    store.write_bytes("here.txt", b"")
    Path(store.path("a")).mkdir()
    Path(store.path("a/b")).symlink_to(outside)
    with pytest.raises(UsageError) as refused:
        use(store)
    assert str(refused.value) == (
        f"{store.root}/a/b is a link that leads to {outside}, outside the store {store.root}; put "
        "what it leads to in its place, or have the store's root be the link"
    )
    assert [path.name for path in outside.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("folder", ["{key}", "{key}/parts", "quiz"])
def test_no_part_is_written_where_no_other_host_finds_it(store, run, tmp_path, folder):
    replaced_by_link(store, folder.format(key=run.key), tmp_path / "away")
    before = sorted((tmp_path / "away").rglob("*.arrow"))
    with pytest.raises(UsageError, match="is a link that leads to"):
        put_part(run, [2, 3])
    assert sorted((tmp_path / "away").rglob("*.arrow")) == before


def test_a_part_that_is_a_link_to_another_file_is_not_read(store, run, tmp_path):
    (part,) = store.list(run.file("parts"))
    replaced_by_link(store, part, tmp_path / "part.arrow")
    with pytest.raises(UsageError, match=r"part\.arrow, outside the store"):
        store.open_arrow(part)


@pytest.mark.parametrize("folder", ["{key}", "{key}/parts", "quiz"])
def test_parts_behind_it_count_for_nothing(store, run, tmp_path, folder):
    replaced_by_link(store, folder.format(key=run.key), tmp_path / "away")
    (found,) = list_runs(store)
    with pytest.raises(UsageError, match="is a link that leads to"):
        read_progress(found)


def test_a_run_behind_it_is_not_opened(store, run, tmp_path):
    replaced_by_link(store, str(run.key), tmp_path / "away")
    with pytest.raises(UsageError, match="outside the store"):
        open_run(store, run.key)


def test_deleting_a_run_that_holds_one_leaves_what_is_behind_it(store, run, outside):
    Path(store.path(run.file("notes"))).symlink_to(outside)
    run.delete()
    assert list(list_runs(store)) == []
    assert (outside / "kept.txt").read_text() == "kept"


def test_one_that_leads_nowhere_is_refused_too(store, run, tmp_path):
    Path(store.path(run.file("lost"))).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="nowhere, outside the store"):
        store.write_bytes(run.file("lost/file"), b"")


def test_one_that_stays_inside_is_followed(store, run):
    (Path(store.root) / "other").symlink_to(Path(store.root) / "quiz")
    assert store.exists(f"other/{run.key.model}/{run.key.name}/run.json")


def test_the_root_may_be_one(store, run, tmp_path):
    (tmp_path / "link").symlink_to(store.root)
    linked = StoreFilesystem.open(str(tmp_path / "link"))
    (Path(store.root) / "other").symlink_to(Path(store.root) / "quiz")
    linked.write_bytes("a/b.txt", b"hello")
    assert run.key in [found.key for found in list_runs(linked)]
    assert store.read_bytes("a/b.txt") == b"hello"

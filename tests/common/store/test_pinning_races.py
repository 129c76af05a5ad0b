"""common.store.first_writer and pinning a run: of many at once one wins, and all agree which."""

import errno
import itertools
import multiprocessing
import os
import random
import threading

import pytest
from pyarrow import fs

from common.errors import OverwrittenRun, StopRun, UsageError
from common.run import RunKey
from common.store import RunFolder, RunRecord, StoreFilesystem, filesystem
from common.store.first_writer import votes_folder, write_first
from tests.common.diskkit import object_store
from tests.common.processkit import Fault, Process
from tests.common.storekit import all_files, make_run, make_spec

TRIES = 1500


def run_number(store, number):
    return RunFolder(store, RunKey("a", "b", f"c{number}"))


def create_runs_to_pin(store):
    """Runs of a record alone: pinning looks whether they stand."""
    for number in range(TRIES):
        run = run_number(store, number)
        record = RunRecord.begin(run.key, make_spec(), {})
        store.filesystem.create_dir(store.path(str(run.key)), recursive=True)
        with store.filesystem.open_output_stream(store.path(run.file("run.json"))) as sink:
            sink.write(record.model_dump_json().encode())


def outcome(store, number, mine):
    """What a worker with weights of its own is told when it pins a run: the winner's weights."""
    run = run_number(store, number)
    try:
        run.pin_model(mine)
    except StopRun:
        return run.pinned_model()
    return mine


def pin_in_step(uri, mine, barrier, results):
    """One process of many: it pins run after run, each at the same moment as the others."""
    store, found = StoreFilesystem.open(uri), []
    for number in range(TRIES):
        barrier.wait(60)
        found.append(outcome(store, number, mine))
    results.put(found)


def test_of_processes_that_pin_a_run_at_once_one_wins(tmp_path):
    store = StoreFilesystem.open(str(tmp_path))
    create_runs_to_pin(store)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    weights = ["weights-0", "weights-1"]
    processes = [
        context.Process(target=pin_in_step, args=(str(tmp_path), mine, barrier, results))
        for mine in weights
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    winners = [set(told) for told in zip(*found, strict=True)]
    assert [told for told in winners if len(told) != 1] == []
    assert len(set.union(*winners)) > 1
    runs = [run_number(store, number) for number in range(TRIES)]
    files = [path for run in runs for path in (run.pin_path, run.file("run.json"))]
    assert all_files(store) == sorted(files)


def test_of_threads_that_pin_a_run_without_an_exclusive_step_one_wins():
    """Arrow's own file system in memory, as that of fsspec lets no two threads read a file."""
    store = StoreFilesystem(fs._MockFileSystem(), "bucket/runs", "mock://bucket/runs")
    create_runs_to_pin(store)
    barrier, found = threading.Barrier(3), {}

    def pin(mine):
        told = []
        for number in range(TRIES):
            barrier.wait(60)
            told.append(outcome(store, number, mine))
        found[mine] = told

    threads = [threading.Thread(target=pin, args=(f"weights-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert [told for told in zip(*found.values(), strict=True) if len(set(told)) != 1] == []


class Turns:
    """Lets one thread of many do one step at a time; a seed decides whose turn it is."""

    def __init__(self, names, seed):
        self._changed = threading.Condition()
        self._draw = random.Random(seed)
        self._alive, self._waiting, self._turn = set(names), set(), None

    def step(self, name):
        with self._changed:
            self._waiting.add(name)
            self._give_turn()
            assert self._changed.wait_for(lambda: self._turn == name, 60)
            self._waiting.discard(name)
            self._turn = None

    def leave(self, name):
        with self._changed:
            self._alive.discard(name)
            self._give_turn()

    def _give_turn(self):
        if self._waiting and self._waiting == self._alive:
            self._turn = self._draw.choice(sorted(self._waiting))
            self._changed.notify_all()


class Objects:
    """An object store in memory, without any exclusive step; every access is a step of a turn."""

    def __init__(self, turns):
        self.files, self._turns = {}, turns

    def create(self, path, content):
        return False

    def exists(self, path):
        self._turns.step(threading.current_thread().name)
        return path in self.files

    def read_bytes(self, path):
        self._turns.step(threading.current_thread().name)
        return self.files[path]

    def write_bytes(self, path, content):
        self._turns.step(threading.current_thread().name)
        self.files[path] = content

    def list(self, folder):
        self._turns.step(threading.current_thread().name)
        return sorted(path for path in self.files if path.startswith(f"{folder}/"))


def vote(contents, seed, dies=None):
    """What each of the writers found to stand; one of them may end before it is done."""
    names = [str(n) for n in range(len(contents))]
    turns = Turns(names, seed)
    store, found = Objects(turns), {}

    def write(name, content):
        own = store
        if name == dies:
            own = Mortal(store, random.Random(seed).randrange(1, 9))
        try:
            found[name] = write_first(own, "model.json", content)
        except InterruptedError:
            pass
        finally:
            turns.leave(name)

    threads = [
        threading.Thread(target=write, args=pair, name=pair[0])
        for pair in zip(names, contents, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, store.files["model.json"]


class Mortal:
    """A store for a writer that ends before one of its steps."""

    def __init__(self, store, steps):
        self._store, self._left = store, steps

    def __getattr__(self, name):
        if name != "create":
            self._left -= 1
            if not self._left:
                raise InterruptedError
        return getattr(self._store, name)


@pytest.mark.parametrize("contents", [[b"a", b"b"], [b"b", b"a", b"c"], [b"a", b"b", b"b", b"c"]])
def test_writers_that_vote_agree_in_every_order_of_their_steps(contents):
    winners = set()
    for seed in range(TRIES // 3):
        found, stands = vote(contents, seed)
        assert set(found.values()) == {stands}
        assert len(found) == len(contents)
        winners.add(stands)
    assert winners == set(contents)


def test_a_writer_that_ends_in_the_middle_leaves_the_others_one_winner():
    for seed in range(TRIES // 3):
        found, stands = vote([b"a", b"b", b"c"], seed, dies="0")
        assert {found["1"], found["2"]} == {stands}


def test_a_late_writer_gets_what_stands(any_store):
    assert write_first(any_store, "a/model.json", b"first") == b"first"
    assert write_first(any_store, "a/model.json", b"second") == b"first"
    before = all_files(any_store)
    assert write_first(any_store, "a/model.json", b"first") == b"first"
    assert all_files(any_store) == before


@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_hard_links_votes(store, monkeypatch, reason):
    def no_links(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(filesystem.os, "link", no_links)
    run = make_run(store)
    run.pin_model("hub:m@1")
    with pytest.raises(StopRun, match="begun with the weights hub:m@1"):
        run.pin_model("hub:m@2")
    run.forget_model()
    run.pin_model("hub:m@2")
    assert run.pinned_model() == "hub:m@2"


def test_a_disk_that_cannot_be_written_is_no_disk_without_links(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filesystem.os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        write_first(store, "a/model.json", b"x")
    assert all_files(store) == []


def test_a_run_that_is_unpinned_and_one_that_is_deleted_keep_no_votes(any_store):
    run = make_run(any_store)
    folder = votes_folder(run.pin_path)
    for mine in itertools.islice(itertools.cycle(["hub:m@1", "hub:m@2"]), 4):
        run.pin_model(mine)
        assert run.pinned_model() == mine
        run.forget_model()
        assert not any_store.list(folder, recursive=True)
    run.pin_model("hub:m@1")
    run.delete()
    assert all_files(any_store) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"identity": "x", "files": 7}'])
def test_a_damaged_pin_is_one_sentence_that_names_the_file(any_store, content):
    run = make_run(any_store)
    any_store.write_bytes(run.pin_path, content)
    for ask in (run.pinned_model, run.pinned_files, lambda: run.pin_model("hub:m@1")):
        with pytest.raises(UsageError, match=r"/model-\w+\.json does not tell .*--overwrite"):
            ask()


@pytest.mark.parametrize("moment", range(1, 31))
def test_who_pins_a_run_that_is_overwritten_meanwhile_is_told_so(moment):
    store = object_store()
    run = make_run(store)
    late = Process(lambda: run.pin_model("hub:m@1"), Fault("pause", moment)).start()
    run.delete()
    new = make_run(store)
    if late.is_paused:
        late.go_on()
        assert isinstance(late.error, (OverwrittenRun, FileNotFoundError, type(None)))
    assert new.pinned_model() is None

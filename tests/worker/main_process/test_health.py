"""Health: files that a supervisor looks at say that a worker lives, and takes messages."""

import threading
import time
from types import SimpleNamespace

import pytest

from worker.main_process.health import Health, HealthFiles, TakesMessages, keep_touching


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "health"


@pytest.fixture
def files(folder):
    return HealthFiles(folder)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_worker_is_alive_before_it_is_ready(files, folder):
    files.touch()
    assert names(folder) == ["alive"]
    files.set_ready(True)
    assert names(folder) == ["alive", "ready"]
    files.set_ready(False)
    assert names(folder) == ["alive"]


def test_what_a_killed_worker_left_makes_no_other_ready(files, folder):
    folder.mkdir(parents=True)
    (folder / "ready").touch()
    files.touch()
    assert names(folder) == ["alive"]


def test_the_files_are_touched_until_the_end_and_gone_then(files, folder):
    ended, ages = threading.Event(), []
    files.set_ready(True)

    def look(_):
        ages.extend(time.time() - path.stat().st_mtime for path in folder.iterdir())
        ended.set()

    beats = SimpleNamespace(is_set=ended.is_set, wait=look)
    keep_touching(files, beats)
    assert len(ages) == 2
    assert max(ages) < 60
    assert names(folder) == []
    files.set_ready(False)
    assert names(folder) == []


def test_a_folder_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    files = HealthFiles(tmp_path / "file" / "health")
    for _ in range(3):
        files.touch()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "Not a directory" in caplog.text


def test_without_the_setting_there_are_no_files():
    worker = SimpleNamespace()
    assert not Health(worker).include_if(worker)
    consumer = SimpleNamespace(controller=worker)
    assert not TakesMessages(consumer).include_if(consumer)

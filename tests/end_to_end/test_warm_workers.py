"""Real workers warm up before they take a task, and two on one host use separate folders."""

import os
import re

import pytest

from tests.end_to_end.conftest import running_worker, until


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """An empty user cache, with no variable that names another cache."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def settings(settings, tiny_model):
    warm = {"warm_model": str(tiny_model), "warm_dtype": "float32", "warm_samples": 5}
    return settings.model_copy(update=warm)


def ready(worker):
    return " ready." in worker.log.read_text()


def folder_of(worker):
    return re.search(r"compiled code is kept in (\S+)", worker.log.read_text()).group(1)


def test_two_workers_of_one_host_are_warm_before_they_are_ready_and_share_no_folder(
    settings, own_cache, tmp_path
):
    logs = tmp_path / "first.log", tmp_path / "second.log"
    with running_worker(settings, logs[0]) as first, running_worker(settings, logs[1]) as second:
        for worker in (first, second):
            until(lambda worker=worker: ready(worker), "a worker was ready", worker.log)
            text = worker.log.read_text()
            assert 0 < text.index("is warm") < text.index(" ready.")
        folders = {folder_of(first), folder_of(second)}
    assert {os.path.basename(folder) for folder in folders} == {"slot-0", "slot-1"}
    assert all(folder.startswith(str(tmp_path / "cache")) for folder in folders)


def test_a_worker_whose_model_is_gone_is_ready_all_the_same(settings, own_cache, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    settings = settings.model_copy(update={"warm_model": str(damaged)})
    with running_worker(settings, tmp_path / "worker.log") as worker:
        until(lambda: ready(worker), "the worker was ready", worker.log)
        assert "could not be warmed" in worker.log.read_text()

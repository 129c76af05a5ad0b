"""Warming: a model is loaded before the first shard, and a failure of it is only logged."""

import logging

import pytest

from tests.worker.conftest import shard_of
from worker.manager import ModelManager


@pytest.fixture
def settings(settings, tiny_model):
    warm = {"warm_model": str(tiny_model), "warm_dtype": "float32", "compile": "never"}
    return settings.model_copy(update=warm)


def test_a_warm_model_is_the_one_that_the_first_shard_finds(executor, make_runs, caplog):
    with caplog.at_level(logging.INFO):
        executor.warm_up()
    assert "is warm" in caplog.text
    loaded = executor.manager._loaded
    runs = make_runs().runs
    executor.execute(shard_of(runs, [0, 1]))
    assert executor.manager._loaded is loaded


def test_without_a_setting_nothing_is_loaded(executor):
    executor.settings = executor.settings.model_copy(update={"warm_model": None})
    executor.warm_up()
    assert executor.manager._loaded is None


@pytest.mark.parametrize("fault", [MemoryError, RuntimeError, OSError])
def test_a_fault_while_warming_is_said_and_leaves_the_process_alive(
    executor, tiny_model, monkeypatch, caplog, fault
):
    def fails(*_):
        raise fault("no luck")

    monkeypatch.setattr(ModelManager, "engine_of", fails)
    executor.manager.warm_up(str(tiny_model), "float32")
    assert "could not be warmed: no luck" in caplog.text


def test_a_model_that_is_gone_is_said_and_leaves_the_process_alive(executor, tmp_path, caplog):
    executor.manager.warm_up(str(tmp_path / "gone"), "auto")
    assert "could not be warmed" in caplog.text

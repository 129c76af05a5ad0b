"""Warming: what is loaded before the first shard, and that no message is taken before it."""

import logging
import multiprocessing
import os
import threading

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state

from common.errors import UsageError
from common.settings import Settings
from tests.worker.conftest import shard_of
from worker import manager
from worker.app import create_app
from worker.engine.attention import FLEX_MIN_TOKENS
from worker.engine.engine import Engine
from worker.engine.request import Counts
from worker.engine.warm_up import warm_up
from worker.readiness import await_up


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


def test_the_invented_questions_fill_a_row_that_is_compiled_for(executor, make_runs, monkeypatch):
    held = executor.manager.engine_for(make_runs().runs[0].spec)
    answer, counts = Engine.answer, Counts()
    monkeypatch.setattr(Engine, "answer", lambda *asked: answer(*asked, counts))
    warm_up(held.engine)
    assert counts.prefill_tokens >= FLEX_MIN_TOKENS
    assert counts.decode_tokens > 0


@pytest.mark.parametrize("fault", [MemoryError, RuntimeError, OSError])
def test_a_fault_while_warming_is_said_and_leaves_the_process_alive(
    executor, tiny_model, monkeypatch, caplog, fault
):
    def fails(*_):
        raise fault("no luck")

    monkeypatch.setattr(manager, "warm_up", fails)
    executor.manager.warm_up(str(tiny_model), "float32")
    assert "could not be warmed: no luck" in caplog.text


def test_a_model_that_is_gone_is_said_and_leaves_the_process_alive(executor, tmp_path, caplog):
    executor.manager.warm_up(str(tmp_path / "gone"), "auto")
    assert "could not be warmed" in caplog.text


def test_a_worker_refuses_to_warm_what_is_no_model():
    with pytest.raises(UsageError, match="model 'no such' is no directory here"):
        create_app(Settings(warm_model="no such"))


@pytest.fixture
def pipe():
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        yield reader, writer


def waiting_for(pairs):
    thread = threading.Thread(target=await_up, args=(pairs,))
    thread.start()
    return thread


def test_the_worker_waits_for_every_process_and_leaves_their_messages_unread(pipe):
    reader, writer = pipe
    alive, _ = os.pipe()
    thread = waiting_for([(reader, alive)])
    thread.join(0.1)
    assert thread.is_alive()
    writer.send("up")
    thread.join(30)
    assert not thread.is_alive()
    assert reader.recv() == "up"


def test_a_process_that_ended_is_not_waited_for(pipe):
    ended, writer = os.pipe()
    os.close(writer)
    await_up([(pipe[0], ended)])


def test_a_worker_told_to_stop_waits_no_longer(pipe, monkeypatch):
    alive, _ = os.pipe()
    monkeypatch.setattr(state, "should_stop", 0)
    with pytest.raises(WorkerShutdown):
        await_up([(pipe[0], alive)])

"""Readiness: a worker takes no message before its processes are up."""

import multiprocessing
import os
import threading

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state

from worker.main_process.readiness import await_up


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

"""Stopped and cancelled runs with a real worker: what Flower and the commands say of them."""

import json
import threading
import time
from collections import Counter

import pytest
import redis
from celery import Celery

from common.broker import celery_settings
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem, list_parts
from tests.conftest import numbered_questions, write_questions
from tests.end_to_end.conftest import producer, running_worker, until
from tests.worker.checkpoints import copied, cut

SHARDS = 4


@pytest.fixture
def counters(settings):
    redis.Redis.from_url(settings.broker).flushdb()
    return RunCounters.connect(settings.broker, settings.namespace)


@pytest.fixture
def tasks(settings, counters):
    """A function that lists the tasks as Flower knows them: from the events of workers."""
    app = Celery("listener", set_as_current=False)
    app.conf.update(celery_settings(settings))
    state = app.events.State()
    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": state.event})
        listener = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        listener.start()
        yield lambda: list(state.tasks.values())
        receiver.should_stop = True
        listener.join()
    app.close()


@pytest.fixture
def arguments(tmp_path, tiny_model):
    data = write_questions(tmp_path / "numbers.jsonl", numbered_questions(2 * SHARDS))
    return [
        "--dataset", "numbers", "--data", data, "--method", "avg", "--num-paraphrases", 3,
        "--num-few-shot", 0, "--dtype", "float32", "--max-new-tokens", 3, "--shard-size", 2,
    ]  # fmt: skip


def folder(settings, key):
    return RunFolder(StoreFilesystem.open(settings.store), RunKey.parse(key))


def test_shards_of_a_stopped_run_are_failures_and_the_state_says_why(
    settings, counters, tasks, arguments, tiny_model, tmp_path
):
    damaged = copied(tiny_model, tmp_path / "cut-llama", cut("model.safetensors", 1000))
    sent = producer("enqueue", *arguments, "--model", damaged, settings=settings)
    assert "no worker serves the queue model.other; start one: `celery -A worker worker" in sent
    (listed,) = json.loads(producer("runs", "--json", settings=settings))
    key = listed["run"]
    with running_worker(settings, tmp_path / "stops.log") as worker:
        ended = ("FAILURE", "SUCCESS")
        until(lambda: sum(t.state in ended for t in tasks()) == SHARDS, "the end", worker.log)
        output = worker.log.read_text()
    assert {t.state for t in tasks()} == {"FAILURE"}
    assert sorted(t.kwargs for t in tasks()) == [f"{key} rows {r}-{r + 1}" for r in (0, 2, 4, 6)]
    reasons = Counter("is stopped, its shard is dropped" in t.exception for t in tasks())
    assert reasons == {True: SHARDS - 1, False: 1}
    assert all("model.safetensors" in t.exception for t in tasks())
    assert "Traceback" not in output
    assert counters.queue_length(["model.other"]) == 0
    (listed,) = json.loads(producer("runs", "--json", settings=settings))
    assert (listed["state"], listed["stopped"]["worker"]) == ("stopped", "stops@test")
    assert "model.safetensors" in producer("status", key, settings=settings)


def test_a_cancelled_run_is_dropped_and_goes_on_when_it_is_enqueued_again(
    settings, counters, tasks, arguments, tiny_model, tmp_path
):
    producer("enqueue", *arguments, "--model", tiny_model, settings=settings)
    key = "numbers/tiny-llama/avg-3"
    producer("cancel", key, settings=settings)
    with running_worker(settings, tmp_path / "drops.log") as worker:
        until(lambda: not counters.queue_length(["model.other"]), "an empty queue", worker.log)
        until(lambda: len(tasks()) == SHARDS, "the events", worker.log)
        until(lambda: {t.state for t in tasks()} == {"REVOKED"}, "the last event", worker.log)
        run = folder(settings, key)
        assert list_parts(run) == []
        assert json.loads(producer("status", key, "--json", settings=settings))["state"] == (
            "cancelled"
        )
        waited = producer(
            "enqueue", *arguments, "--model", tiny_model, "--wait", settings=settings
        )
        assert "waits, and is tried again" not in waited
        assert run.is_merged()
        assert "Traceback" not in worker.log.read_text()


def test_cancelling_ends_a_wait_within_seconds(settings, counters, arguments, tiny_model):
    outputs = []
    options = [*arguments, "--model", tiny_model, "--wait"]
    waiting = threading.Thread(
        target=lambda: outputs.append(
            producer("enqueue", *options, settings=settings, check=False)
        )
    )
    waiting.start()
    until(lambda: counters.queue_length(["model.other"]) == SHARDS, "the shards")
    began = time.monotonic()
    producer("cancel", "numbers/tiny-llama/avg-3", settings=settings)
    waiting.join()
    assert time.monotonic() - began < 30
    assert "error: numbers/tiny-llama/avg-3 was cancelled at" in outputs[0]
    assert "no worker serves the queue model.other" in outputs[0]

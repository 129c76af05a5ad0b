"""producer.listeners: who works on a run, or why nobody does, from what workers announce."""

import pytest

from common.live_workers import Announcement, announce, note_model, withdraw
from common.run_activity import RunActivity
from common.run_counters import RunCounters
from common.run_state import RunState
from producer.listeners import Listeners

OTHER, QWEN = "quiz/owner--model/avg-3", "quiz/qwen3_4b/avg-3"
WORKING = RunActivity(answered={"avg-3:0-3:4": 1})


@pytest.fixture
def counters(server, broker_url):
    return RunCounters.connect(f"{broker_url.removesuffix('/0')}/10", "se")


def worker(name, *queues):
    return Announcement(name=name, place=f"{name}:1", processes=1, queues=queues, version="1")


def test_that_no_worker_serves_the_queue_is_said_with_the_command(counters):
    sentence = Listeners(counters).sentence([RunState(QWEN, "queued")])
    assert sentence.startswith("no worker serves the queue model.qwen3_4b; start one: `celery -A")
    assert "-Q model.qwen3_4b`" in sentence


@pytest.mark.parametrize("name", ["waiting", "stopped", "cancelled", "complete", "merged"])
def test_a_run_that_waits_for_no_worker_needs_none(counters, name):
    assert Listeners(counters).sentence([RunState(OTHER, name)]) is None


def test_a_worker_that_serves_the_queue_is_nothing_to_say(counters):
    announce(counters, worker("a", "model.other", "model.qwen3_4b"))
    states = [RunState(OTHER, "queued"), RunState(QWEN, "running")]
    assert Listeners(counters).sentence(states) is None


def test_a_worker_of_another_queue_does_not_help(counters):
    announce(counters, worker("a", "model.qwen3_4b"))
    assert "queue model.other" in Listeners(counters).sentence([RunState(OTHER, "queued")])


def test_the_last_worker_that_goes_is_named(counters):
    listeners, states = Listeners(counters), [RunState(OTHER, "running")]
    announce(counters, worker("celery@a", "model.other"))
    assert listeners.sentence(states) is None
    withdraw(counters, "celery@a")
    sentence = listeners.sentence(states)
    assert sentence.startswith(
        "worker celery@a, the last that served model.other, has gone; start"
    )


def test_what_is_being_loaded_is_said_until_somebody_works(counters):
    listeners = Listeners(counters, expects_one=True)
    assert listeners.sentence([RunState(OTHER, "queued")]) is None
    announce(counters, worker("celery@a", "model.other"))
    note_model(counters, "celery@a:1", 0, "owner/model", loading=True)
    assert "worker celery@a is loading owner/model since " in listeners.sentence(
        [RunState(OTHER, "queued")]
    )
    assert listeners.sentence([RunState(OTHER, "running", activity=WORKING)]) is None


def test_one_worker_that_is_ready_is_enough(counters):
    for name in ("a", "b"):
        announce(counters, worker(name, "model.other"))
    note_model(counters, "a:1", 0, "owner/model", loading=True)
    assert Listeners(counters).sentence([RunState(OTHER, "queued")]) is None


def test_a_broker_that_is_away_says_nothing():
    away = RunCounters.connect_for_a_glance("redis://127.0.0.1:1/0", "se")
    assert Listeners(away).sentence([RunState(OTHER, "queued")]) is None

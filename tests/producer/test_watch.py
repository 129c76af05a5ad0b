"""producer.watch: the state of a run on the screen, from second to second."""

from io import StringIO

import pytest
from rich.console import Console

from common.live_workers import Announcement, announce, withdraw
from common.run_counters import RunCounters
from common.store import merge_run
from common.store.cancellation import cancel
from producer.watch import watch_run
from tests.common.storekit import make_run, put_part

RUN = "quiz/owner--model/origin"
WORKER = Announcement(
    name="celery@gpu-1", place="gpu-1:1", processes=1, queues=("model.other",), version="1"
)


@pytest.fixture
def counters(server, broker_url):
    return RunCounters.connect(f"{broker_url.removesuffix('/0')}/10", "se")


@pytest.fixture
def watched(store, counters, monkeypatch):
    """Watch a run; after each look one of `events` happens. Returns the state and each screen."""

    def watch(*events, broker=counters):
        left, screens = list(events), []
        screen = Console(file=StringIO(), width=200, force_terminal=True)

        def next_event(_):
            screens.append(screen.file.getvalue())
            screen.file.truncate(screen.file.seek(0))
            left.pop(0)()

        monkeypatch.setattr("producer.watch.time.sleep", next_event)
        state = watch_run(store, RUN, broker, screen)
        return state, [*screens, screen.file.getvalue()]

    return watch


def merged(run):
    def merge():
        put_part(run, range(7))
        merge_run(run)

    return merge


def test_who_listens_is_said_from_look_to_look(store, counters, watched):
    run = make_run(store)
    state, (nobody, somebody, gone, _) = watched(
        lambda: announce(counters, WORKER), lambda: withdraw(counters, WORKER.name), merged(run)
    )
    assert "no worker serves the queue model.other; start one: `celery -A worker" in nobody
    assert "serve" not in somebody
    assert "worker celery@gpu-1, the last that served model.other, has gone" in gone
    assert state.name == "merged"


@pytest.mark.parametrize("end", ["stopped", "cancelled"])
def test_a_run_that_only_a_person_can_have_go_on_ends_the_watch(store, counters, watched, end):
    run = make_run(store)
    events = {
        "stopped": lambda: counters.stop(RUN, "no weights"), "cancelled": lambda: cancel(run)
    }  # fmt: skip
    state, screens = watched(events[end])
    assert state.name == end
    assert f"{RUN} was {end}" in screens[-1]


def test_the_run_is_watched_while_the_broker_is_away(store, watched):
    away = RunCounters.connect_for_a_glance("redis://127.0.0.1:1/0", "se")
    state, screens = watched(merged(make_run(store)), broker=away)
    assert "the broker does not answer, so stops" in screens[0]
    assert state.name == "merged"


def test_samples_of_a_shard_at_work_move_the_line(store, counters, watched):
    run = make_run(store)
    tell = counters.note_answered
    _, screens = watched(
        lambda: tell([RUN], "a:0-6:7", 0), lambda: tell([RUN], "a:0-6:7", 3), merged(run)
    )
    assert ["queued" in screens[0], "running" in screens[1]] == [True, True]
    assert "0+3" in screens[2]

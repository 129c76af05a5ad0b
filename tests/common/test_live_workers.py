"""common.live_workers: workers are seen while they announce themselves, by the server's clock."""

import pytest

from common.live_workers import (
    SILENT_SECONDS,
    Announcement,
    announce,
    forget_model,
    live_workers,
    note_model,
    place_of,
    withdraw,
)

PLACE = "gpu-1:4711"


def worker(name="celery@gpu-1", queues=("model.other",), place=PLACE):
    return Announcement(name=name, place=place, processes=2, queues=queues, version="0.1.0")


def silent_for(counters, name, seconds):
    """Have a worker be seen last, and have begun, `seconds` earlier than it was."""
    key = counters.prefix + "workers"
    seen, since, document = counters.client.hget(key, name).split(b" ", 2)
    earlier = [str(int(time) - seconds).encode() for time in (seen, since)]
    counters.client.hset(key, name, b" ".join([*earlier, document]))


def test_a_worker_lives_from_its_announcement_until_it_withdraws(counters):
    assert live_workers(counters) == []
    announce(counters, worker("celery@b", ("model.a", "model.b")))
    announce(counters, worker("celery@a"))
    first, second = live_workers(counters)
    assert (first.name, second.name) == ("celery@a", "celery@b")
    assert second.queues == ("model.a", "model.b")
    assert abs(second.since - counters.client.time()[0]) <= 1
    withdraw(counters, "celery@a")
    assert [w.name for w in live_workers(counters)] == ["celery@b"]


def test_a_worker_that_is_silent_is_dead_and_forgotten_later(counters):
    announce(counters, worker("celery@a"))
    silent_for(counters, "celery@a", SILENT_SECONDS - 2)
    assert [w.name for w in live_workers(counters)] == ["celery@a"]
    silent_for(counters, "celery@a", 4)
    assert live_workers(counters) == []
    announce(counters, worker("celery@b"))
    assert counters.client.hlen(counters.prefix + "workers") == 2
    silent_for(counters, "celery@a", 10 * SILENT_SECONDS)
    announce(counters, worker("celery@b"))
    assert counters.client.hkeys(counters.prefix + "workers") == [b"celery@b"]


def test_a_worker_keeps_the_time_since_when_it_serves_its_queues(counters):
    announce(counters, worker())
    silent_for(counters, "celery@gpu-1", 5)
    (before,) = live_workers(counters)
    announce(counters, worker())
    assert live_workers(counters) == [before]
    announce(counters, worker(place="gpu-1:4712"))
    (after,) = live_workers(counters)
    assert after.since >= before.since + 5


def test_the_models_of_its_processes_are_told_with_what_is_still_loading(counters):
    announce(counters, worker())
    note_model(counters, PLACE, 0, "qwen3_4b", loading=False)
    note_model(counters, PLACE, 1, "llama3.1_8b", loading=True)
    note_model(counters, "gpu-2:4711", 0, "another", loading=True)
    (seen,) = live_workers(counters)
    assert [held.model for held in seen.models] == ["qwen3_4b", "llama3.1_8b"]
    assert [held.model for held in seen.loading] == ["llama3.1_8b"]
    assert abs(seen.loading[0].since - counters.client.time()[0]) <= 1
    forget_model(counters, PLACE, 1)
    assert live_workers(counters)[0].loading == ()


@pytest.mark.parametrize("text", ["", "17", "x y {}", "99999999999 1 {}", b"\xff \xff \xff"])
def test_what_is_no_announcement_is_passed_over(counters, text):
    counters.client.hset(counters.prefix + "workers", "celery@x", text)
    counters.client.set(f"{counters.prefix}model:{PLACE}:0", text)
    announce(counters, worker())
    (seen,) = live_workers(counters)
    assert (seen.name, seen.models) == ("celery@gpu-1", ())


def test_a_place_names_this_host():
    assert place_of(17).endswith(":17")

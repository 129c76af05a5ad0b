"""common.run_counters: hints and flags on a real server of the kind that is used."""

import pytest
import redis

from common.run_counters import RunCounters

RUN, OTHER = "webqa/m/origin", "webqa/m/avg-5"


def test_rows_noted_twice_count_once(counters):
    assert counters.mark_done(RUN, [0, 1, 2]) == 3
    assert counters.mark_done(RUN, [2, 1]) == 3
    assert counters.mark_done(RUN, [2, 100_003]) == 4


def test_counters_that_are_new_know_of_no_row(counters):
    assert not counters.knows_done(RUN)
    counters.reset(RUN, [])
    assert not counters.knows_done(RUN)
    counters.mark_done(RUN, [3])
    assert counters.knows_done(RUN)


def test_runs_are_counted_apart(counters):
    counters.mark_done(RUN, [0, 1, 2])
    assert counters.mark_done(OTHER, [7]) == 1


@pytest.mark.parametrize("done", [[], [4], [0, 1, 9]])
def test_a_reset_notes_what_the_store_holds_and_no_more(counters, done):
    counters.mark_done(RUN, [2, 3, 5])
    counters.reset(RUN, done)
    assert counters.mark_done(RUN, [6]) == len(done) + 1


def test_a_reset_lifts_a_stop_and_forgets_attempts_of_this_run_alone(counters):
    for run in (RUN, OTHER):
        counters.stop(run, "other weights")
        counters.start_attempt(run, "0-63")
    counters.reset(RUN, [])
    assert counters.stop_reason(RUN) is None
    assert counters.stop_reason(OTHER) == "other weights"
    assert counters.start_attempt(RUN, "0-63") == 1
    assert counters.start_attempt(OTHER, "0-63") == 2


def test_a_stopped_run_tells_the_last_reason(counters):
    assert counters.stop_reason(RUN) is None
    counters.stop(RUN, "first")
    counters.stop(RUN, "Gewichte ≠ gepinnt")
    assert counters.stop_reason(RUN) == "Gewichte ≠ gepinnt"
    assert counters.stop_reason(OTHER) is None


def test_refusals_are_told_by_place_until_the_run_is_enqueued_again(counters):
    assert counters.refusals(RUN) == {}
    counters.refuse(RUN, "a:1", "no memory")
    counters.refuse(RUN, "b:1", "no licence")
    counters.refuse(RUN, "a:1", "not downloaded")
    assert counters.refusals(RUN) == {"a:1": "not downloaded", "b:1": "no licence"}
    counters.reset(RUN, [])
    assert counters.refusals(RUN) == {}


def test_attempts_are_counted_by_shard_until_one_is_finished(counters):
    assert [counters.start_attempt(RUN, "a") for _ in range(3)] == [1, 2, 3]
    assert counters.start_attempt(RUN, "b") == 1
    assert counters.start_attempt(OTHER, "a") == 1
    counters.finish_attempt(RUN, "a")
    counters.finish_attempt(RUN, "never started")
    assert counters.start_attempt(RUN, "a") == 1
    assert counters.start_attempt(RUN, "b") == 2


def test_the_queue_length_counts_what_is_queued_and_what_is_in_work(counters):
    assert counters.queue_length([]) == counters.queue_length(["model.a", "model.b"]) == 0
    for queue in ("model.a", "model.a", "model.b", "model.c"):
        counters._redis.rpush(f"se:{queue}", "{}")
    counters._redis.hset("se:unacked", "tag", "{}")
    assert counters.queue_length(["model.a", "model.b"]) == 4
    assert counters.queue_length([]) == 1


def test_everything_that_is_noted_is_forgotten_some_day(counters):
    counters.reset(RUN, [])
    counters.mark_done(RUN, [0])
    counters.stop(RUN, "x")
    counters.start_attempt(RUN, "a")
    keys = counters._redis.keys("*")
    assert len(keys) == 3
    assert all(key.startswith(b"se:") for key in keys)
    assert all(counters._redis.ttl(key) > 24 * 3600 for key in keys)


def test_rows_taken_over_from_the_store_are_forgotten_some_day_too(counters):
    counters.reset(RUN, [0, 1, 2])
    assert counters._redis.ttl(f"se:done:{RUN}") > 0


def test_to_connect_sends_nothing():
    RunCounters.connect("redis://:pw@127.0.0.1:1/0", "se")


@pytest.mark.parametrize(
    "call",
    [
        lambda counters: counters.queue_length([]),
        lambda counters: counters.reset(RUN, []),
        lambda counters: counters.mark_done(RUN, [0]),
        lambda counters: counters.stop_reason(RUN),
        lambda counters: counters.start_attempt(RUN, "a"),
    ],
    ids=["queue_length", "reset", "mark_done", "stop_reason", "start_attempt"],
)
def test_a_wrong_password_is_an_error_of_redis_and_never_an_answer(broker_url, call, monkeypatch):
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    wrong = broker_url.replace("redis://:", "redis://:not-")
    with pytest.raises(redis.RedisError):
        call(RunCounters.connect(wrong, "se"))

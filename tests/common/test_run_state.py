"""common.run_state: one state for a run, from the store and from what workers report."""

import pytest

from common.run_activity import RunActivity, Stop
from common.run_state import state_name, state_of, waiting_state
from common.store import Progress, RunFolder, merge_run
from common.store.cancellation import cancel, cancelled_since, is_cancelled, resume
from tests.common.storekit import make_run, put_part

STOP = Stop(reason="no weights", since=1e9, worker="celery@gpu-1")
AT_WORK = RunActivity(answered={"origin:0-6:7": 2})
STOPPED = RunActivity(stop=STOP)


@pytest.mark.parametrize(
    ("answered", "merged", "cancelled", "activity", "state"),
    [
        (0, False, False, RunActivity(), "queued"),
        (0, False, False, AT_WORK, "running"),
        (3, False, False, RunActivity(), "running"),
        (3, False, False, STOPPED, "stopped"),
        (0, False, False, STOPPED, "stopped"),
        (0, False, True, STOPPED, "cancelled"),
        (3, False, True, AT_WORK, "cancelled"),
        (7, False, False, RunActivity(), "complete"),
        (7, False, False, STOPPED, "stopped"),
        (7, False, True, RunActivity(), "cancelled"),
        (7, True, True, STOPPED, "merged"),
        (3, True, False, RunActivity(), "running"),
    ],
)
def test_a_run_has_one_state(answered, merged, cancelled, activity, state):
    progress = Progress(expected=7, ok=answered, failed=0, merged=merged, rate=None)
    assert state_name(progress, cancelled, activity) == state


def test_a_stopped_run_says_why_since_when_where_and_what_to_do(any_store):
    sentence = state_of(make_run(any_store), STOPPED).sentence()
    assert "origin was stopped at 2001-09-" in sentence
    assert (
        "by worker celery@gpu-1: no weights; once that is mended, `producer enqueue`" in sentence
    )


def test_without_a_broker_the_state_is_that_of_the_store(any_store):
    run = make_run(any_store)
    put_part(run, range(3))
    state = state_of(run, None)
    assert (state.name, state.stop, state.answering, state.sentence()) == (
        "running",
        None,
        0,
        None,
    )


def test_samples_at_work_are_no_more_than_what_is_missing(any_store):
    run = make_run(any_store)
    put_part(run, range(3))
    activity = RunActivity(answered={"origin:0-2:3": 3, "origin:3-6:4": 4})
    assert state_of(run, activity).answering == 4


def test_a_cancellation_lasts_until_it_is_lifted_and_ends_with_the_run(any_store):
    run = make_run(any_store)
    assert cancelled_since(run, run.list_files()) is None
    cancel(run)
    state = state_of(run, STOPPED)
    assert state.name == "cancelled"
    assert "`producer enqueue` again goes on with it" in state.sentence()
    resume(run)
    resume(run)
    assert not is_cancelled(run)
    cancel(run)
    run.delete()
    assert not is_cancelled(make_run(any_store))


def test_a_damaged_cancellation_cancels(any_store):
    run = make_run(any_store)
    cancel(run)
    (path,) = [p for p in any_store.list(str(run.key)) if "cancelled" in p]
    any_store.write_bytes(path, b"{")
    assert cancelled_since(run, run.list_files()) == 0.0
    assert "was cancelled; " in state_of(run, None).sentence()


def test_a_cancellation_is_not_that_of_the_run_that_took_its_place(any_store):
    run = make_run(any_store)
    cancel(run)
    late = RunFolder(any_store, run.key)
    assert is_cancelled(late)
    run.delete()
    again = make_run(any_store, max_new_tokens=9)
    with pytest.raises(Exception, match="was overwritten"):
        cancel(late)
    assert not is_cancelled(again)


def test_a_merged_run_needs_nothing_more(any_store):
    run = make_run(any_store)
    put_part(run, range(7))
    cancel(run)
    merge_run(run)
    state = state_of(run, RunActivity(delay="store away"))
    assert (state.name, state.ends_waiting, state.sentence()) == ("merged", True, None)


def test_a_run_that_waits_is_stopped_if_it_cannot_be_created():
    assert waiting_state("a/b/c", "a/b/p", None).sentence() == "a/b/c waits for a/b/p"
    stopped = waiting_state("a/b/c", "a/b/p", STOPPED)
    assert (stopped.name, "no weights" in stopped.sentence()) == ("stopped", True)

"""Waiting runs: listed, cancelled and deleted like any other; plans survive who comes between."""

from functools import partial

import pytest

from common.errors import OverwrittenRun
from common.planning.dependents import (
    create_dependents,
    create_with_dependents,
    forget_dependents,
    note_dependents,
    waiting_for,
)
from common.run import RunKey
from common.run_state import state_of
from common.store import RunFolder, list_runs
from common.store.cancellation import cancel, is_cancelled, resume
from common.store.run_listing import list_runs_with_files
from common.store.waiting import is_planned
from tests.common.diskkit import local_disk, object_store, watch_local_disk
from tests.common.processkit import Fault, Process
from tests.common.stepkit import (
    finish_confidences,
    finish_paraphrases,
    make,
    names,
    plan,
    put_paraphrases,
    questions,
    snapshot,
)
from tests.common.storekit import put_part

MOMENTS = range(1, 31)
"""Operations of the file system before which a process waits or is killed."""


def chain(method="weighted_avg"):
    return plan("paraphrases", [plan("confidence", [plan(method)])])


def run_of(store, name):
    return RunFolder(store, RunKey.parse(f"quiz/owner--model/{name}"))


def states(store):
    return {run.key.name: state_of(run, None, files) for run, files in list_runs_with_files(store)}


@pytest.fixture(params=["local", "objects"])
def watched(request, tmp_path, monkeypatch):
    watch_local_disk(monkeypatch)
    return local_disk(tmp_path / "store") if request.param == "local" else object_store()


@pytest.fixture
def written(any_store):
    """Paraphrases of seven questions; a chain and a plain run wait for them."""
    (run,) = make(any_store, chain(), samples=questions(7))
    note_dependents(run, [plan("avg")])
    return run


def test_one_listing_has_created_runs_and_waiting_ones(written, any_store):
    found = states(any_store)
    assert {name: (state.name, state.after) for name, state in found.items()} == {
        "avg-3": ("waiting", "quiz/owner--model/paraphrases-3"),
        "confidence-3": ("waiting", "quiz/owner--model/paraphrases-3"),
        "paraphrases-3": ("queued", None),
        "weighted_avg-3": ("waiting", "quiz/owner--model/confidence-3"),
    }
    assert found == {name: state_of(run_of(any_store, name), None) for name in found}
    assert names(list_runs(any_store)) == ["paraphrases-3"]


def test_a_created_run_waits_no_more(written, any_store):
    finish_paraphrases(written)
    create_dependents(written)
    assert [state.after for state in states(any_store).values()] == [
        None, None, None, "quiz/owner--model/confidence-3",
    ]  # fmt: skip


def test_a_waiting_run_that_is_cancelled_is_not_created_until_it_is_resumed(written, any_store):
    avg = run_of(any_store, "avg-3")
    cancel(avg)
    assert states(any_store)["avg-3"].name == "cancelled"
    finish_paraphrases(written)
    assert names(create_dependents(written)) == ["confidence-3"]
    assert not avg.exists()
    resume(avg)
    assert names(create_dependents(written)) == ["avg-3", "confidence-3"]
    assert state_of(avg, None).name == "queued"


def test_planning_a_cancelled_run_again_lifts_that(written, any_store):
    avg = run_of(any_store, "avg-3")
    cancel(avg)
    note_dependents(written, [plan("avg")])
    assert (states(any_store)["avg-3"].name, is_cancelled(avg)) == ("waiting", False)


def test_what_waits_for_a_cancelled_run_waits_on(written, any_store):
    cancel(run_of(any_store, "confidence-3"))
    finish_paraphrases(written)
    create_dependents(written)
    assert states(any_store)["weighted_avg-3"].name == "waiting"


def test_a_deleted_waiting_run_is_not_created_and_takes_along_what_waits_for_it(
    written, any_store
):
    confidence = run_of(any_store, "confidence-3")
    assert names(waiting_for(written)) == ["avg-3", "confidence-3", "weighted_avg-3"]
    confidence.delete()
    forget_dependents(confidence)
    assert sorted(states(any_store)) == ["avg-3", "paraphrases-3"]
    finish_paraphrases(written)
    assert names(create_dependents(written)) == ["avg-3"]


def test_a_run_with_two_plans_waits_for_the_other_run_when_one_is_deleted(any_store):
    first, second = (
        make(any_store, plan("paraphrases", [plan("avg")], f"p-{i}"), samples=questions(3))[0]
        for i in range(2)
    )
    first.delete()
    forget_dependents(first)
    assert states(any_store)["avg-3"].after == str(second.key)
    finish_paraphrases(second)
    assert names(create_dependents(second)) == ["avg-3"]


def test_who_overwrites_a_run_takes_its_place_and_plans_anew(written, any_store):
    """Runs that wait for the old one go, as its result does; the new one has its own."""
    make_anew = partial(create_with_dependents, any_store, samples=questions(5), provenance={})
    (new,) = make_anew([plan("paraphrases", [plan("max")])], overwrite=[str(written.key)])
    with pytest.raises(OverwrittenRun):
        written.check_stands()
    assert sorted(states(any_store)) == ["max-3", "paraphrases-3"]
    finish_paraphrases(new)
    (most,) = create_dependents(new)
    assert (most.key.name, most.spec.num_samples) == ("max-3", 5)


def test_who_plans_for_a_run_while_it_is_overwritten_gets_the_result_of_the_new_one(written):
    """The plan names the run, which a request without --overwrite takes as it is."""
    create_with_dependents(
        written.store, [plan("paraphrases")], questions(5), {}, [str(written.key)]
    )
    note_dependents(written, [plan("avg")])
    new = RunFolder(written.store, written.key)
    finish_paraphrases(new)
    (avg,) = create_dependents(new)
    assert avg.spec.num_samples == 5
    assert avg.record.provenance["depends_on"] == f"{new.key}@{new.record.fingerprint}"


def test_overwriting_a_waiting_run_replaces_its_plan(written, any_store):
    changed = plan("paraphrases", [plan("avg", max_new_tokens=9)])
    create_with_dependents(any_store, [changed], questions(7), {}, ["quiz/owner--model/avg-3"])
    finish_paraphrases(written)
    avg, _ = create_dependents(written)
    assert (avg.key.name, avg.spec.max_new_tokens) == ("avg-3", 9)


@pytest.mark.parametrize("moment", MOMENTS)
def test_two_producers_that_plan_at_once_keep_each_others_plans(watched, moment):
    """Also those behind a run that both plan."""
    slow = Process(
        lambda: make(watched, chain("weighted_max"), samples=questions(3)), Fault("pause", moment)
    ).start()
    make(watched, chain(), samples=questions(3))
    if slow.is_paused:
        slow.go_on()
    assert slow.error is None
    written = run_of(watched, "paraphrases-3")
    finish_paraphrases(written)
    (confidence,) = create_dependents(written)
    finish_confidences(confidence)
    assert names(create_dependents(confidence)) == ["weighted_avg-3", "weighted_max-3"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_dependent_planned_while_its_run_is_merged_is_created_by_one_of_both(watched, moment):
    (written,) = make(watched, plan("paraphrases"), samples=questions(3))
    put_paraphrases(written, range(3))
    later = plan("paraphrases", [plan("avg")])
    slow = Process(
        lambda: make(watched, later, samples=questions(3)), Fault("pause", moment)
    ).start()
    create_dependents(written)
    if slow.is_paused:
        slow.go_on()
    assert slow.error is None
    assert run_of(watched, "avg-3").exists()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_creation_that_is_killed_leaves_the_plan_and_is_made_good(watched, moment):
    (written,) = make(watched, plan("paraphrases", [plan("avg")]), samples=questions(3))
    finish_paraphrases(written)
    Process(lambda: create_dependents(written), Fault("kill", moment)).start()
    assert is_planned(run_of(watched, "avg-3"))
    assert "avg-3" in states(watched)
    (avg,) = create_dependents(written)
    put_part(avg, range(3))
    assert avg.spec.num_samples == 3


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_cancelled_while_it_is_created_is_cancelled(watched, moment):
    (written,) = make(watched, plan("paraphrases", [plan("avg")]), samples=questions(3))
    finish_paraphrases(written)
    slow = Process(lambda: create_dependents(written), Fault("pause", moment)).start()
    cancel(run_of(watched, "avg-3"))
    if slow.is_paused:
        slow.go_on()
    assert slow.error is None
    assert states(watched)["avg-3"].name == "cancelled"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_created_while_it_is_cancelled_is_cancelled(watched, moment):
    (written,) = make(watched, plan("paraphrases", [plan("avg")]), samples=questions(3))
    finish_paraphrases(written)
    slow = Process(lambda: cancel(run_of(watched, "avg-3")), Fault("pause", moment)).start()
    create_dependents(written)
    if slow.is_paused:
        slow.go_on()
    assert slow.error is None
    assert states(watched)["avg-3"].name == "cancelled"


def test_a_list_is_whole_whatever_else_lies_in_the_store(written, any_store):
    before = states(any_store)
    for path in ("note.txt", "quiz/note.txt", ".deleted/a/b/c.json", "quiz/m/x.after/y.json"):
        any_store.write_bytes(path, b"{}")
    assert states(any_store) == before
    assert snapshot(any_store)["note.txt"] == b"{}"

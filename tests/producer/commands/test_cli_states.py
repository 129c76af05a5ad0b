"""`producer runs`, `status`, `cancel` and `delete`: the state of a run, and how to end it."""

import json
import threading
import time

import pytest

from common.planning.dependents import note_dependents, read_dependents
from common.planning.plan import RunPlan
from common.run import RunKey
from common.run_counters import RunCounters
from common.store import RunFolder, StoreFilesystem, merge_run
from common.store.cancellation import is_cancelled
from tests.common.storekit import make_run, make_spec, put_part

FOLDER = "quiz/owner--model"
RUN = f"{FOLDER}/origin"
AWAY = "the broker does not answer, so stops and what is being answered are not known now"


@pytest.fixture
def folder(tmp_path, server):
    return StoreFilesystem.open(str(tmp_path / "runs"))


@pytest.fixture
def counters(server, broker_url):
    return RunCounters.connect(f"{broker_url.removesuffix('/0')}/10", "se")


@pytest.fixture
def no_broker(folder, monkeypatch):
    monkeypatch.setenv("SELF_ENSEMBLE_BROKER", "redis://127.0.0.1:1/0")


def plan(name, *dependents, method="avg"):
    spec = make_spec(method=method, num_paraphrases=3, layout=None)
    return RunPlan(key=f"{FOLDER}/{name}", spec=spec, dependents=dependents)


@pytest.fixture
def chain(folder):
    """A run of paraphrases; confidence-3 waits for it, and weighted_avg-3 for that one."""
    run = make_run(folder, name="paraphrases-3", method="paraphrases", num_paraphrases=3)
    later = plan("confidence-3", plan("weighted_avg-3"), method="confidence")
    note_dependents(run, [later, plan("avg-3")])
    return run


def test_a_stopped_run_is_stopped_in_the_list_and_alone_and_says_why(command, folder, counters):
    make_run(folder)
    counters.stop(RUN, "no weights", "celery@gpu-1")
    listed, alone = command("runs"), command("status", RUN)
    assert listed.out == alone.out
    assert "│ stopped │" in listed.out
    assert "by worker celery@gpu-1: no weights; once that is mended" in listed.out
    (document,) = json.loads(command("runs", "--json").out)
    assert document == json.loads(command("status", RUN, "--json").out)
    assert document["state"] == "stopped"
    assert (document["stopped"]["reason"], document["stopped"]["worker"]) == (
        "no weights", "celery@gpu-1"
    )  # fmt: skip
    assert abs(document["stopped"]["since"] - time.time()) < 60


def test_watching_a_stopped_run_ends_with_the_reason_and_a_status(command, folder, counters):
    make_run(folder)
    counters.stop(RUN, "no weights", "celery@gpu-1")
    result = command("status", RUN, "--watch")
    assert result.status == 1
    assert "no weights" in result.out


def test_without_a_broker_runs_are_listed_and_one_line_says_what_is_not_known(
    command, folder, no_broker
):
    put_part(make_run(folder), [0, 1])
    for arguments in (["runs"], ["status", RUN]):
        result = command(*arguments)
        assert (result.status, "│ running │" in result.out) == (0, True)
        assert result.err.startswith(AWAY)
        assert result.err.count("\n") == 1
    (document,) = json.loads(command("runs", "--json").out)
    assert (document["state"], document["answering"]) == ("running", None)


def test_a_broker_that_is_silent_is_given_up_in_seconds(command, folder, monkeypatch):
    """A server that takes the connection and says nothing, as behind a stalled network."""
    import socket

    make_run(folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SELF_ENSEMBLE_BROKER", f"redis://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert command("runs").err.startswith(AWAY)
    assert time.monotonic() - began < 8


def test_a_run_that_waits_has_a_state_wherever_it_is_asked_for(command, chain):
    states = {d["run"].rpartition("/")[2]: d for d in json.loads(command("runs", "--json").out)}
    assert {name: d["state"] for name, d in states.items()} == {
        "paraphrases-3": "queued", "avg-3": "waiting", "confidence-3": "waiting",
        "weighted_avg-3": "waiting",
    }  # fmt: skip
    alone = json.loads(command("status", f"{FOLDER}/weighted_avg-3", "--json").out)
    assert alone == states["weighted_avg-3"]
    assert alone["after"] == f"{FOLDER}/confidence-3"
    assert f"avg-3 waits for {FOLDER}/paraphrases-3" in command("status", f"{FOLDER}/avg-3").out


def test_cancelling_survives_the_loss_of_the_broker(command, folder, server):
    make_run(folder)
    result = command("cancel", RUN)
    assert (result.status, result.err) == (0, "")
    assert "`producer enqueue` again goes on with it" in result.out
    server.flushdb()
    assert "│ cancelled │" in command("runs").out
    assert command("status", RUN, "--watch").status == 1


def test_a_run_is_cancelled_without_a_broker_too(command, folder, no_broker):
    run = make_run(folder)
    result = command("cancel", RUN)
    assert result.status == 0
    assert "shards at work are finished first" in result.err
    assert is_cancelled(run)


def test_a_merged_run_is_not_cancelled(command, folder):
    run = make_run(folder)
    put_part(run, range(7))
    merge_run(run)
    result = command("cancel", RUN)
    assert result.status == 2
    assert f"is merged, there is nothing to cancel; `producer delete {RUN}`" in result.err


def test_deleting_asks_and_no_keeps_everything(command, folder, monkeypatch):
    run = make_run(folder)
    put_part(run, [0, 1])
    asked = []
    monkeypatch.setattr("click.confirm", lambda question: asked.append(question))
    result = command("delete", RUN)
    assert result.status == 1
    assert f"{RUN}: running, 2 of 7 rows answered\n" in result.out
    assert len(asked) == 1
    assert run.exists()


def test_nobody_to_ask_is_a_no(command, folder, monkeypatch):
    run = make_run(folder)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    result = command("delete", RUN)
    assert (result.status, "--yes does not ask" in result.out) == (1, True)
    assert run.exists()


def test_deleting_takes_run_parts_and_merged_file_and_counters(command, folder, server, counters):
    run = make_run(folder)
    put_part(run, range(7))
    merge_run(run)
    counters.stop(RUN, "late")
    result = command("delete", RUN, "--yes")
    assert (result.status, result.err) == (0, "")
    assert folder.list("", recursive=True) == []
    assert server.keys("*") == []


def test_a_run_that_a_worker_has_a_shard_of_is_deleted_with_force_alone(command, folder, counters):
    other, run = make_run(folder, name="other"), make_run(folder)
    counters.note_answered([RUN], "origin:0-6:7", 0)
    result = command("delete", other.key, RUN, "--yes")
    assert result.status == 2
    assert f"a worker is at work on {RUN}; `producer cancel {RUN}`" in result.err
    assert (other.exists(), run.exists()) == (True, True)
    assert command("delete", RUN, "--yes", "--force").status == 0
    assert not run.exists()


def test_without_a_broker_a_run_that_may_be_at_work_is_deleted_with_force_alone(
    command, folder, no_broker
):
    run, merged = make_run(folder), make_run(folder, name="merged")
    put_part(merged, range(7))
    merge_run(merged)
    assert "--force deletes it" in command("delete", RUN, "--yes").err
    assert command("delete", merged.key, "--yes").status == 0
    assert command("delete", RUN, "--yes", "--force").status == 0
    assert not run.exists()


@pytest.mark.parametrize("file", ["run.json", "part"])
def test_a_damaged_run_can_be_deleted(command, folder, file):
    run = make_run(folder)
    path = put_part(run, range(3)) if file == "part" else run.file("run.json")
    folder.write_bytes(path, b"{")
    result = command("delete", RUN, "--yes")
    assert (result.status, result.err) == (0, "")
    assert not run.exists()


def test_a_run_that_waits_is_cancelled_as_any_other(command, chain, server):
    result = command("cancel", f"{FOLDER}/avg-3")
    assert (result.status, result.err) == (0, "")
    server.flushdb()
    listed = {d["run"].rpartition("/")[2]: d for d in json.loads(command("runs", "--json").out)}
    assert listed["avg-3"]["state"] == "cancelled"
    assert listed["avg-3"] == json.loads(command("status", f"{FOLDER}/avg-3", "--json").out)
    assert "`producer enqueue` again goes on with it" in listed["avg-3"]["why"]
    assert "│ cancelled │" in command("status", f"{FOLDER}/avg-3").out
    assert command("status", f"{FOLDER}/avg-3", "--watch").status == 1
    assert command("delete", f"{FOLDER}/avg-3", "--yes").status == 0
    assert command("cancel", f"{FOLDER}/avg-3").status == 2


def test_a_run_that_waits_is_deleted_from_the_plans_and_comes_back_no_more(command, chain):
    assert command("delete", f"{FOLDER}/weighted_avg-3", "--yes").status == 0
    confidence = RunFolder(chain.store, RunKey.parse(f"{FOLDER}/confidence-3"))
    assert read_dependents(confidence) == []
    assert command("delete", f"{FOLDER}/confidence-3", "--yes").status == 0
    assert [plan.key for plan in read_dependents(chain)] == [f"{FOLDER}/avg-3"]
    assert command("delete", f"{FOLDER}/confidence-3", "--yes").status == 2


def test_what_waits_for_a_run_goes_with_it_and_is_named_first(command, chain, folder):
    out = command("delete", chain.key, "--yes").out
    assert "and with it " in out
    assert all(f"{FOLDER}/{name}" in out for name in ("avg-3", "confidence-3", "weighted_avg-3"))
    assert json.loads(command("runs", "--json").out) == []


def test_a_created_dependent_that_is_deleted_is_not_planned_again(command, chain, folder):
    make_run(folder, name="avg-3", method="avg", num_paraphrases=3)
    assert command("delete", f"{FOLDER}/avg-3", "--yes").status == 0
    assert f"{FOLDER}/avg-3" not in {plan.key for plan in read_dependents(chain)}


def test_a_run_is_deleted_while_a_worker_writes_parts_of_it(command, folder):
    run = make_run(folder, 400)
    ended = threading.Event()

    def write():
        for row in range(400):
            try:
                put_part(RunFolder(folder, run.key), [row])
            except FileNotFoundError:
                ended.set()
                return

    writer = threading.Thread(target=write)
    writer.start()
    assert command("delete", RUN, "--yes", "--force").status == 0
    writer.join()
    assert ended.is_set()
    assert not run.exists()

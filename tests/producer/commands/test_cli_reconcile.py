"""`producer reconcile`: one line for each run that is not merged, and what was done about it."""

from itertools import count

import pytest

from common.planning import suspicions
from common.run_counters import RunCounters
from common.settings import Settings
from common.store import StoreFilesystem
from producer.reconciling import StoreReconciler
from tests.common.storekit import make_run, put_part


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(suspicions, "CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(suspicions, "CONFIRM_MERGE_SECONDS", 0.0)
    monkeypatch.setattr("producer.reconciling.CONFIRM_SECONDS", 0.0)


@pytest.fixture
def settings(server):
    return Settings.from_environment()


@pytest.fixture
def store(settings):
    return StoreFilesystem.open(settings.store)


def test_it_says_in_a_line_what_it_did_of_each_run(command, server, settings, store):
    for name in ("complete", "lost", "stopped"):
        run = make_run(store, 7, name=name)
        put_part(run, range(7) if name == "complete" else [0])
    RunCounters.connect(settings.broker, settings.namespace).stop(str(run.key), "other weights")
    result = command("reconcile")
    assert result.out.splitlines() == [
        "quiz/owner--model/complete was complete and is merged now",
        "quiz/owner--model/lost had lost 6 rows: sent again",
        "quiz/owner--model/stopped is stopped: other weights",
        f"0 of 3 runs in {store.uri} are merged",
    ]
    assert result.status == 0
    assert server.llen("se:model.other") == 1
    assert command("reconcile").out.splitlines()[-1].startswith("1 of 3 runs in ")


def test_a_store_without_runs_is_said_to_be_empty(command, server, store):
    assert command("reconcile").out == f"0 of 0 runs in {store.uri} are merged\n"


def test_looking_again_and_again_says_only_what_is_new(settings, store):
    run, rounds, said = make_run(store, 7), count(1), []

    def wait(seconds):
        assert seconds == 60
        now = next(rounds)
        if now == 4:
            put_part(run, range(7))
        if now == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        said.extend(StoreReconciler(settings, wait).changes(60))
    assert [line.removeprefix(f"{run.key} ") for line in said] == [
        "seems to have lost 7 rows",
        "had lost 7 rows: sent again",
        "waits: 1 message in its queue, 7 rows left",
        "is complete and not merged",
        "was complete and is merged now",
    ]


def test_a_broker_that_does_not_answer_is_an_error_in_a_sentence(command, monkeypatch, tmp_path):
    monkeypatch.setenv("SELF_ENSEMBLE_STORE", str(tmp_path))
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    result = command("reconcile", "--broker", "redis://127.0.0.1:1/0")
    assert result.status == 2
    assert "does not answer" in result.err

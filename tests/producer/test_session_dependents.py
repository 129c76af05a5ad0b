"""producer.session with dependent runs: shown, waited for, created if nobody did, summarized."""

from io import StringIO
from itertools import count

import pytest
import redis
from rich.console import Console

import producer.session
from common.errors import CancelledRun, UsageError
from common.run_state import state_of
from common.settings import Settings
from common.store import merge_run
from producer.cancelling import cancel_run
from producer.session import Session
from tests.common.stepkit import finish_confidences, finish_paraphrases, put_paraphrases
from tests.common.storekit import put_part, read_feather

QUEUE = "se:model.other"


@pytest.fixture
def server(broker_url):
    client = redis.Redis.from_url(f"{broker_url.removesuffix('/0')}/13")
    client.flushdb()
    return client


@pytest.fixture
def session(ask, jsonl, broker_url, tmp_path, server, monkeypatch):
    """A session on questions without paraphrases, and its screen; it never sleeps."""
    monkeypatch.setattr("producer.waiting.POLL_SECONDS", 0.0)
    monkeypatch.setattr("producer.waiting.IDLE_SECONDS", 0.0)
    monkeypatch.setattr("common.planning.suspicions.CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr("common.planning.suspicions.CONFIRM_MERGE_SECONDS", 0.0)
    rows = [{"question": f"what is {i}?", "answers": [f"gold {i}"]} for i in range(11)]
    bare = jsonl(rows, "bare.jsonl")
    settings = Settings(
        broker=f"{broker_url.removesuffix('/0')}/13", store=str(tmp_path / "store")
    )

    def make(*methods, **changes):
        console = Console(file=StringIO(), width=200)
        request = ask(**({"data": bare, "methods": methods} | changes))
        return Session.prepare(settings, request, console), console.file

    return make


def test_a_dependent_run_is_shown_as_one_that_waits(session):
    made, screen = session("avg")
    made.enqueue()
    rounds = count()

    def alive():
        if next(rounds) == 5:
            raise UsageError("the worker ended early")

    with pytest.raises(UsageError, match="ended early"):
        made.wait(alive)
    shown = screen.getvalue()
    assert "quiz/owner--model/avg-3: waits for another run\n" in shown
    bars = [line for line in shown.splitlines() if line.startswith("quiz/owner--model/avg-3 ")]
    assert all(" waiting " in line for line in bars)
    assert bars


def test_dependents_that_nobody_created_are_created_and_sent_while_waiting(session, server, store):
    """The worker died after the merge of the paraphrases, before it sent the dependent runs."""
    made, screen = session("avg")
    made.enqueue()
    written, avg = made.all_runs()
    finish_paraphrases(written)
    server.delete(QUEUE)
    sent = []

    def alive():
        if avg.exists() and server.llen(QUEUE):
            sent.append(server.llen(QUEUE))
            server.delete(QUEUE)
            put_part(avg, range(11))

    made.wait(alive)
    assert sent == [3]  # shards of four
    assert read_feather(avg).num_rows == 11
    assert "sending them again" in screen.getvalue()


def test_paraphrases_that_nobody_merged_are_merged_and_their_dependents_created(session, server):
    made, _ = session("avg")
    made.enqueue()
    written, avg = made.all_runs()
    put_paraphrases(written, range(11))
    server.delete(QUEUE)

    def alive():
        if avg.exists():
            put_part(avg, range(11))
            server.delete(QUEUE)

    made.wait(alive)
    assert read_feather(written).num_rows == read_feather(avg).num_rows == 11


def test_enqueueing_again_merges_and_creates_dependents_if_no_worker_did(session, server):
    session("origin", "avg")[0].enqueue()
    written = session("origin", "avg")[0].all_runs()[1]
    put_paraphrases(written, range(11))
    server.delete(QUEUE)
    again, screen = session("origin", "avg")
    assert again.enqueue() is True
    assert "avg-3: 11 rows enqueued, 0 done before" in screen.getvalue()
    assert "waits" not in screen.getvalue()


def test_a_session_that_borrows_paraphrases_creates_its_runs_if_nobody_did(session, server):
    session(model="owner/writer", step="paraphrases")[0].enqueue()
    borrowed = {"data": None, "paraphrases": "quiz/owner--writer/paraphrases-3"}
    made, _ = session("avg", **borrowed)
    assert made.enqueue() is True
    (avg,) = made.all_runs()
    writer, _ = session(model="owner/writer", step="paraphrases")
    finish_paraphrases(writer.all_runs()[0])
    server.delete(QUEUE)

    def alive():
        if avg.exists():
            put_part(avg, range(11))
            server.delete(QUEUE)

    made.wait(alive)
    assert read_feather(avg).num_rows == 11


def test_a_cancelled_run_that_waits_ends_the_wait_and_enqueueing_lifts_it(session, server):
    made, _ = session("avg")
    made.enqueue()
    written, avg = made.all_runs()
    cancel_run(avg, made.counters)
    with pytest.raises(CancelledRun, match="avg-3 was cancelled"):
        made.wait()
    session("avg")[0].enqueue()
    assert not made.counters.all_cancelled([str(avg.key)])
    assert state_of(avg, None).name == "waiting"
    cancel_run(avg, made.counters)
    finish_paraphrases(written)
    assert made._reconciler.look([written])[0].settled
    assert not avg.exists()
    again, screen = session("avg")
    again.enqueue()
    assert "avg-3: 11 rows enqueued, 0 done before" in screen.getvalue()
    assert not made.counters.all_cancelled([str(avg.key)])


def test_nothing_to_send_and_something_to_wait_for_is_something_to_do(session, server):
    made, _ = session("avg")
    assert made.enqueue() is True
    finish_paraphrases(made.all_runs()[0])
    put_part(session("avg")[0].all_runs()[1], range(11))
    complete, _ = session("avg")
    assert complete.enqueue() is False


@pytest.fixture
def merged_session(session):
    """A session whose steps and answers are all merged, and its screen."""
    written = session("origin", "weighted_avg")[0].all_runs()[1]
    finish_paraphrases(written, bad={3: ""})
    confidence = session("origin", "weighted_avg")[0].all_runs()[2]
    finish_confidences(confidence)
    made, screen = session("origin", "weighted_avg")
    for run in made.all_runs():
        if run.spec.method in ("origin", "weighted_avg"):
            put_part(run, range(11))
            merge_run(run)
    return made, screen


def test_a_summary_has_a_line_for_each_step_and_a_table_of_answers_alone(
    merged_session, monkeypatch
):
    made, screen = merged_session
    names = []

    def table(runs):
        names.extend(run.key.name for run in runs)
        return original(runs)

    original = producer.session.results_table
    monkeypatch.setattr("producer.session.results_table", table)
    made.print_summary()
    assert names == ["origin", "weighted_avg-3"]
    lines = screen.getvalue().splitlines()
    steps = [line for line in lines if " 22 paraphrases written, 1 of them" in line]
    assert steps[0].startswith("quiz/owner--model/paraphrases-3: 11 questions")
    assert any("confidence-3: mean confidence 0." in line for line in lines)
    assert lines[-4:] == [run.feather_path for run in made.all_runs()]


def test_a_summary_of_steps_alone_has_no_table(session):
    made, screen = session(step="paraphrases")
    finish_paraphrases(made.all_runs()[0])
    made.print_summary()
    assert "questions/s" not in screen.getvalue()
    assert screen.getvalue().startswith("quiz/owner--model/paraphrases-3: 11 questions")

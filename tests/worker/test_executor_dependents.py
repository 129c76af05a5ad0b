"""Dependent runs are created when the run they depend on is merged, and their shards are sent."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.planning.dependents import create_with_dependents
from common.planning.plan import RunPlan
from common.records import Sample
from common.run import RunKey, SamplingParams
from common.store import RunFolder, missing_rows
from common.store.manifest import read_manifest
from tests.worker.conftest import merging_here
from tests.worker.scripted import EXEMPLARS, ONCE, make_spec
from worker.executor import ShardExecutor
from worker.merging import Merger
from worker.shards import open_shard

FOLDER = "quiz/tiny-llama"
FEW = SamplingParams(temperature=1, top_p=1, num_draws=2)


@pytest.fixture
def plan(tiny_model):
    """Plan a run of the tiny model, with its dependents."""
    model = {"model": str(tiny_model), "model_source": str(tiny_model), "max_new_tokens": 3}

    def make(method, *dependents, **changes):
        if method == "paraphrases":
            changes |= {"sampling": ONCE, "exemplars": EXEMPLARS}
        if method == "confidence":
            changes["sampling"] = FEW
        spec = make_spec(method, **(model | changes))
        key = f"{FOLDER}/{method}-{spec.num_paraphrases}"
        return RunPlan(key=key, spec=spec, dependents=dependents)

    return make


@pytest.fixture
def begin(executor):
    """Create planned runs over five questions, shards of two; returns the runs that can begin."""

    def make(*plans):
        samples = [Sample((f"what is {i}?",), ("9",), f"id{i}") for i in range(5)]
        runs = create_with_dependents(executor.store, plans, samples, {"shard_size": 2})
        for plan in (each for root in plans for each in root.all()):
            executor.counters.reset(plan.key, [])
        return runs

    return make


def run_named(executor, name):
    return RunFolder(executor.store, RunKey.parse(f"{FOLDER}/{name}"))


def execute(executor, names, rows):
    return executor.execute(
        open_shard(executor.store, [f"{FOLDER}/{name}" for name in names], rows)
    )


def execute_all(executor, name="paraphrases-3"):
    for rows in ([[0, 2]], [[2, 4]], [[4, 5]]):
        assert execute(executor, [name], rows) == []


def messages(sent):
    """The names of the runs and the rows in each sent message."""
    return [([n.removeprefix(f"{FOLDER}/") for n in m.runs], m.rows) for m, _ in sent]


THREE = [[(0, 2)], [(2, 4)], [(4, 5)]]


def test_dependents_are_created_and_sent_when_the_last_part_is_there(executor, sent, begin, plan):
    begin(plan("paraphrases", plan("avg"), plan("max")))
    execute(executor, ["paraphrases-3"], [[0, 2]])
    execute(executor, ["paraphrases-3"], [[2, 4]])
    assert not run_named(executor, "avg-3").exists()
    assert sent == []
    execute(executor, ["paraphrases-3"], [[4, 5]])
    assert messages(sent) == [(["avg-3", "max-3"], rows) for rows in THREE]
    assert {queue for _, queue in sent} == {"model.other"}
    written = run_named(executor, "avg-3").read_samples(range(5))
    assert [sample.uuid for sample in written] == [f"id{i}" for i in range(5)]
    assert all(len(sample.paraphrases) == 3 for sample in written)
    provenance = run_named(executor, "avg-3").record.provenance
    assert provenance["depends_on"].startswith(f"{FOLDER}/paraphrases-3@")
    assert provenance["shard_size"] == 2


def test_dependents_of_dependents_run_to_the_last(executor, sent, begin, plan):
    """As Celery would: execute every sent message until none is left."""
    weighted = plan("weighted_avg"), plan("weighted_max")
    begin(plan("paraphrases", plan("confidence", *weighted), plan("flex_attention",
          layout="shared", positions="aligned")))  # fmt: skip
    execute_all(executor)
    executed = []
    while sent:
        message, _ = sent.pop(0)
        executed.append(message)
        executor.execute(open_shard(executor.store, message.runs, message.rows))
    names = ["paraphrases-3", "confidence-3", "flex_attention-3", "weighted_avg-3",
             "weighted_max-3"]  # fmt: skip
    for name in names:
        manifest = read_manifest(run_named(executor, name))
        assert (manifest.found, manifest.partial) == (5, False)
    assert len(executed) == len(set(map(str, executed))) == 9
    confidences = [
        s.confidences for s in run_named(executor, "weighted_avg-3").read_samples([0, 4])
    ]
    assert all(len(each) == 3 and set(each) <= {0, 0.5, 1} for each in confidences)


def test_merging_again_creates_nothing_new(executor, sent, begin, plan):
    begin(plan("paraphrases", plan("avg")))
    execute_all(executor)
    record = run_named(executor, "avg-3").record
    before, first = set(executor.store.list("", recursive=True)), messages(sent)
    sent.clear()
    execute(executor, ["paraphrases-3"], [[4, 5]])
    assert set(executor.store.list("", recursive=True)) == before
    assert run_named(executor, "avg-3").record == record
    assert messages(sent) == first, "what is missing may be sent again: a part is done once"


def test_what_is_done_of_a_dependent_is_not_sent_again(executor, sent, begin, plan):
    begin(plan("paraphrases", plan("avg")))
    execute_all(executor)
    execute(executor, ["avg-3"], [[2, 4]])
    sent.clear()
    execute(executor, ["paraphrases-3"], [[0, 2]])
    assert messages(sent) == [(["avg-3"], [(0, 2)]), (["avg-3"], [(4, 5)])]
    for rows in ([[0, 2]], [[4, 5]]):
        execute(executor, ["avg-3"], rows)
    sent.clear()
    execute(executor, ["paraphrases-3"], [[0, 2]])
    assert sent == []


def test_a_dependent_that_is_there_otherwise_is_stopped_and_the_shard_is_done(
    executor, sent, begin, plan
):
    begin(plan("avg", num_paraphrases=1).model_copy(update={"key": f"{FOLDER}/avg-3"}))
    begin(plan("paraphrases", plan("avg"), plan("max")))
    execute_all(executor)
    assert sent == []
    assert not missing_rows(run_named(executor, "paraphrases-3")).size
    assert run_named(executor, "paraphrases-3").store.exists(f"{FOLDER}/paraphrases-3.feather")
    assert "num_paraphrases is '1' there and '3' here" in executor.counters.stop_reason(
        f"{FOLDER}/avg-3"
    )
    assert "--overwrite" in executor.counters.stop_reason(f"{FOLDER}/max-3"), (
        "all are made, or none"
    )
    assert not run_named(executor, "max-3").exists()


def test_a_damaged_plan_of_a_dependent_is_logged_and_fails_no_shard(
    executor, sent, begin, plan, caplog
):
    begin(plan("paraphrases", plan("avg")))
    executor.store.write_bytes(f"{FOLDER}/max-3.after/tiny-llama/paraphrases-3.json", b"{")
    execute_all(executor)
    assert "is no planned run of this version" in caplog.text
    assert sent == []


def test_a_send_that_fails_is_made_good_the_next_time(settings, executor, begin, plan):
    begin(plan("paraphrases", plan("avg")))
    taken = []

    def send_second(messages, _):
        """The broker takes one message, fails at the second, and is back afterwards."""
        failing = not taken
        taken.extend(messages[:1] if failing else messages)
        if failing:
            raise redis.ConnectionError("refused")

    pauses = []
    merger = Merger(executor.store, executor.counters, send_second, pauses.append)
    failing = ShardExecutor(settings, executor.store, executor.counters, merging_here(merger))
    execute(failing, ["paraphrases-3"], [[0, 5]])
    assert len(pauses) == 1
    assert [message.rows for message in taken[1:]] == THREE
    assert "does not take" in executor.counters.delayed(f"{FOLDER}/paraphrases-3")


def test_dependents_wait_for_the_counters_and_are_not_lost_without_them(
    executor, sent, begin, plan
):
    """Without counters no worker knows that the last part is there; the next shard finds out."""
    begin(plan("paraphrases", plan("avg")))
    execute(executor, ["paraphrases-3"], [[0, 4]])
    nobody = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    counters, executor.counters._redis = executor.counters._redis, nobody
    execute(executor, ["paraphrases-3"], [[4, 5]])
    assert sent == []
    executor.counters._redis = counters
    execute(executor, ["paraphrases-3"], [[4, 5]])
    assert messages(sent) == [(["avg-3"], rows) for rows in THREE]


def test_runs_without_dependents_send_nothing(executor, sent, begin, plan):
    begin(plan("origin", num_paraphrases=1))
    execute_all(executor, "origin-1")
    assert read_manifest(run_named(executor, "origin-1")).found == 5
    assert sent == []


def test_a_dependent_whose_model_is_not_on_this_host_is_stopped_in_words(executor, begin, plan):
    elsewhere = plan("avg", num_paraphrases=3, model="/not/here", model_source="/not/here")
    begin(plan("paraphrases", elsewhere, num_paraphrases=3))
    assert execute(executor, ["paraphrases-3"], [[0, 5]]) == []
    assert "'/not/here'" in executor.counters.stop_reason(f"{FOLDER}/avg-3")
    assert executor.counters.stop_reason(f"{FOLDER}/paraphrases-3") is None
    assert run_named(executor, "paraphrases-3").store.exists(f"{FOLDER}/paraphrases-3.feather")

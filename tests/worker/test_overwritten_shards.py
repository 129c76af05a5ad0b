"""A shard whose run is overwritten while a worker has it: dropped, with no word on the new run."""

import logging

import pytest

from common.errors import RetryShard, StopRun
from common.store import RunFolder, list_parts, missing_rows, verify_run
from common.store.manifest import read_manifest
from tests.worker.conftest import shard_of
from worker import executor as executors
from worker.executor import ShardExecutor

ALL = list(range(7))
MOMENTS = ["loading", "answering", "committing", "merging"]


@pytest.fixture
def late(executor):
    """The worker that has the shard of the old run; `executor` is the one of the new run."""
    old = ShardExecutor(
        executor.settings, executor.store, executor.counters, executor._start_merge, 1
    )
    old.manager = executor.manager  # One model in memory.
    return old


@pytest.fixture
def at(late, monkeypatch):
    """Do something once, right before the late worker loads, answers, commits or merges."""

    def arrange(moment, do):
        place, name = {
            "loading": (late.manager, "engine_for"),
            "answering": (executors, "answer_shard"),
            "committing": (executors, "write_part"),
            "merging": (late, "_start_merge"),
        }[moment]
        original, done = getattr(place, name), []

        def first(*arguments):
            if not done:
                done.append(moment)
                do()
            return original(*arguments)

        monkeypatch.setattr(place, name, first)

    return arrange


@pytest.mark.parametrize("answered", [False, True], ids=["new run empty", "new run merged"])
@pytest.mark.parametrize("changes", [{}, {"max_new_tokens": 3}], ids=["same spec", "other spec"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_of_the_old_run_enters_the_new_one(
    executor, late, at, make_runs, moment, changes, answered, caplog
):
    shard = shard_of(make_runs().runs, ALL)

    def overwrite():
        new = make_runs(overwrite=True, **changes).runs
        if answered:
            assert executor.execute(shard_of(new, ALL)) == []

    at(moment, overwrite)
    with caplog.at_level(logging.WARNING):
        assert late.execute(shard) == []
    new = [RunFolder(executor.store, run.key) for run in shard.runs]
    assert [len(list_parts(run)) for run in new] == [int(answered)] * 3
    assert executor.store.list(new[0].file("parts")) == list_parts(new[0])
    if moment != "merging":
        said = [r.message for r in caplog.records if r.name == "worker.late_shards"]
        assert [text.partition(" was overwritten")[0] for text in said] == [
            f"run {run.key}" for run in shard.runs
        ]
    for run in new:
        assert executor.counters.stop_reason(str(run.key)) is None
        if not answered:
            executor.execute(shard_of([run], ALL))
        assert verify_run(run) == []


def test_a_late_worker_with_other_weights_neither_pins_nor_answers_nor_stops_the_new_run(
    executor, late, at, make_runs
):
    (run,) = make_runs(methods=("avg",)).runs
    run.pin_model("sha256:the old ones")
    shard = shard_of([run], ALL)
    at("loading", lambda: make_runs(methods=("avg",), overwrite=True))
    assert late.execute(shard) == []
    new = RunFolder(run.store, run.key)
    assert (new.pinned_model(), missing_rows(new).tolist()) == (None, ALL)
    executor.execute(shard_of([new], ALL))
    assert read_manifest(new).model_identities == [new.pinned_model()]
    assert verify_run(new) == []


def test_an_error_of_a_late_worker_is_no_verdict_on_the_new_run(late, at, make_runs, monkeypatch):
    shard = shard_of(make_runs().runs, ALL)

    def broken():
        make_runs(overwrite=True)
        raise StopRun("device lost")

    at("answering", broken)
    assert late.execute(shard) == []


def test_only_the_runs_that_stand_get_their_parts(executor, late, at, make_runs):
    runs = make_runs().runs
    at("answering", lambda: make_runs(methods=("avg",), overwrite=True))
    late.execute(shard_of(runs, ALL))
    left = {run.key.name: missing_rows(RunFolder(run.store, run.key)).tolist() for run in runs}
    assert left == {"avg-3": ALL, "per_prompt-3": [], "flex_attention-3": []}


def test_a_verdict_waits_if_only_some_of_the_runs_were_overwritten(late, at, make_runs):
    """Delivered again, the shard is opened anew, and judged for the runs as they are then."""
    shard = shard_of(make_runs().runs, ALL)

    def broken():
        make_runs(methods=("avg",), overwrite=True)
        raise StopRun("device lost")

    at("answering", broken)
    with pytest.raises(RetryShard, match="overwritten: device lost"):
        late.execute(shard)


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_a_shard_whose_run_is_gone_is_tried_again(late, at, make_runs, moment):
    """It may be in the middle of being overwritten, or the store may be away."""
    (run,) = make_runs(methods=("avg",)).runs
    shard = shard_of([run], ALL)
    at(moment, run.delete)
    with pytest.raises(RetryShard, match=r"run\.json"):
        late.execute(shard)
    assert run.store.list("", recursive=True) == []

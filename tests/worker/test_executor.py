"""Executing a shard: its parts, failed rows, refusals, merging."""

import gc
import weakref
from dataclasses import replace

import pyarrow.feather as feather
import pytest

from common.errors import AlreadyStopped, CancelledRun, RetryShard, StopRun
from common.planning.plan import RunPlan, create_runs
from common.store import list_parts, missing_rows, read_progress
from common.store.cancellation import cancel, resume
from common.store.manifest import read_manifest
from common.store.parts import read_info
from tests.conftest import assert_rows_alike, numbered_questions
from tests.worker.conftest import shard_of
from worker import executor as executor_module
from worker.engine.engine import Engine
from worker.executor import ShardExecutor


def table(run):
    return feather.read_table(run.feather_path)


def kinds(result):
    return result["error_kind"].to_pylist()


def made_again(runs, samples):
    """The same runs over other samples, without parts."""
    plans = [RunPlan(key=str(run.key), spec=run.spec) for run in runs]
    return create_runs(runs[0].store, plans, samples, {}, overwrite=[plan.key for plan in plans])


def test_a_shard_becomes_one_part_for_each_run(executor, make_runs):
    runs = make_runs().runs
    assert executor.execute(shard_of(runs, [0, 1, 2])) == []
    assert [len(list_parts(run)) for run in runs] == [1, 1, 1]
    assert all(missing_rows(run).tolist() == [3, 4, 5, 6] for run in runs)


def test_the_last_part_merges_the_run_by_itself(executor, make_runs):
    runs = make_runs().runs
    for rows in ([4, 5, 6], [0, 1, 2, 3]):
        assert not runs[0].store.exists(runs[0].feather)
        executor.execute(shard_of(runs, rows))
    assert table(runs[0])["uuid"].to_pylist() == [f"id-{n:03d}" for n in range(7)]
    assert len(table(runs[1])) == 21


def test_a_run_whose_counters_were_lost_is_merged_by_its_last_part(executor, make_runs):
    runs = make_runs().runs
    executor.execute(shard_of(runs, [4, 5, 6]))
    for run in runs:
        executor.counters.reset(str(run.key), [])
    executor.execute(shard_of(runs, [0, 1, 2, 3]))
    assert [read_progress(run).merged for run in runs] == [True, True, True]


def test_doing_a_shard_twice_computes_it_once_and_keeps_its_rows(executor, make_runs, monkeypatch):
    runs = make_runs().runs
    executor.execute(shard_of(runs, list(range(7))))
    before = [table(run) for run in runs]
    monkeypatch.setattr(Engine, "run", lambda *_: pytest.fail("answered again"))
    executor.execute(shard_of(runs, list(range(7))))
    assert [table(run) for run in runs] == before


def test_shards_of_another_size_give_the_same_rows(executor, make_runs):
    runs = make_runs().runs
    executor.execute(shard_of(runs, list(range(7))))
    whole = [table(run) for run in runs]
    runs = make_runs(overwrite=True).runs
    for rows in ([6], [0, 1, 2, 3, 4], [2, 3, 4, 5]):
        executor.execute(shard_of(runs, rows))
    for run, expected in zip(runs, whole, strict=True):
        assert_rows_alike(table(run), expected)


@pytest.mark.parametrize("bad", ["far too long " * 400, " \n "], ids=["too long", "empty"])
def test_a_bad_sample_is_one_row_and_its_neighbours_are_answered(executor, make_runs, bad):
    """A paraphrase may be empty where a model could not write it: files with such are refused."""
    good = make_runs(numbered_questions(5)).runs
    executor.execute(shard_of(good, list(range(5))))
    expected = table(good[0])["prediction"].to_pylist()
    samples = good[0].read_samples(range(5))
    paraphrases = (samples[3].paraphrases[0], "fine?", bad)
    samples[3] = replace(samples[3], paraphrases=paraphrases)
    runs = made_again(good, samples)
    executor.execute(shard_of(runs, list(range(5))))
    result = table(runs[0])
    assert [e is not None for e in result["error"].to_pylist()] == [0, 0, 0, 1, 0]
    assert kinds(result) == [None] * 3 + ["sample", None]
    expected[3] = None
    assert result["prediction"].to_pylist() == expected
    assert read_progress(runs[0]).failed == 1


def test_a_sample_that_raises_is_found_and_named(executor, make_runs, monkeypatch):
    answer = Engine.run

    def answer_but_four(self, samples, *arguments):
        if any("number 4 " in question.paraphrases[1] for question in samples):
            raise ArithmeticError("no fours")
        return answer(self, samples, *arguments)

    monkeypatch.setattr(Engine, "run", answer_but_four)
    runs = make_runs().runs
    executor.execute(shard_of(runs, list(range(7))))
    errors = table(runs[0])["error"].to_pylist()
    assert errors == [None] * 4 + ["ArithmeticError: no fours"] + [None] * 2
    assert kinds(table(runs[0])) == [None] * 4 + ["worker"] + [None] * 2


def test_a_shard_in_which_everything_raises_stops_the_run(executor, make_runs, monkeypatch):
    def broken(*_):
        raise RuntimeError("device lost")

    monkeypatch.setattr(Engine, "run", broken)
    runs = make_runs().runs
    with pytest.raises(StopRun, match="device lost"):
        executor.execute(shard_of(runs, list(range(7))))
    assert list_parts(runs[0]) == []


def test_a_worker_with_other_weights_is_refused(executor, make_runs):
    runs = make_runs().runs
    runs[0].pin_model("sha256:somebody else's")
    with pytest.raises(StopRun, match="somebody else's"):
        executor.execute(shard_of(runs, [0, 1]))
    assert missing_rows(runs[0]).tolist() == list(range(7))


def test_a_model_directory_that_is_gone_stops_the_run(executor, make_runs, tiny_model, tmp_path):
    moved = tmp_path / "moved-model"
    moved.symlink_to(tiny_model, target_is_directory=True)
    runs = make_runs(model=str(moved)).runs
    spec = runs[0].spec.model_copy(update={"model": str(tmp_path / "gone")})
    with pytest.raises(StopRun, match="no directory here"):
        executor.manager.engine_for(spec)


def test_a_shard_of_stopped_runs_is_dropped_with_the_reason(executor: ShardExecutor, make_runs):
    runs = make_runs().runs
    for run in runs:
        executor.counters.stop(str(run.key), "no weights")
    with pytest.raises(AlreadyStopped, match="is stopped, its shard is dropped: no weights"):
        executor.execute(shard_of(runs, [0, 1]))
    assert list_parts(runs[0]) == []


@pytest.mark.parametrize("end", ["stopped", "cancelled"])
def test_of_several_runs_those_that_go_on_are_answered(executor, make_runs, end):
    first, *others = make_runs().runs
    if end == "stopped":
        executor.counters.stop(str(first.key), "no weights")
    else:
        cancel(first)
    executor.execute(shard_of((first, *others), [0, 1]))
    assert list_parts(first) == []
    assert [len(list_parts(run)) for run in others] == [1, 1]


def test_a_shard_of_a_cancelled_run_is_dropped_until_the_run_is_resumed(executor, make_runs):
    (run,) = make_runs(methods=("avg",)).runs
    cancel(run)
    with pytest.raises(CancelledRun, match="avg-3 is cancelled, its shard is dropped"):
        executor.execute(shard_of((run,), [0, 1]))
    resume(run)
    executor.execute(shard_of((run,), [0, 1]))
    assert len(list_parts(run)) == 1


def test_a_run_that_is_cancelled_during_its_last_shard_is_not_merged(
    executor, make_runs, monkeypatch
):
    (run,) = make_runs(methods=("avg",)).runs
    write = executor_module.write_part

    def written(*arguments):
        cancel(run)
        return write(*arguments)

    monkeypatch.setattr(executor_module, "write_part", written)
    executor.execute(shard_of((run,), list(range(7))))
    assert not missing_rows(run).size
    assert not run.is_merged()


def test_a_shard_that_kills_its_worker_is_cut_down_to_the_row_that_does_it(executor, make_runs):
    runs = make_runs().runs
    shard = shard_of(runs, [1, 2, 3])
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(str(runs[0].key), shard.name)
    first, second = executor.execute(shard)
    assert (first.rows, second.rows) == ((1,), (2, 3))
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(str(runs[0].key), first.name)
    executor.execute(first)
    executor.execute(second)
    executor.execute(shard_of(runs, [0, 4, 5, 6]))
    errors = table(runs[0])["error"].to_pylist()
    assert "died 3 times" in errors[1]
    assert errors[:1] + errors[2:] == [None] * 6
    assert kinds(table(runs[0])) == [None, "worker"] + [None] * 5


def test_a_broker_that_is_away_does_not_stop_the_work(executor, make_runs, monkeypatch):
    import redis

    runs = make_runs().runs
    executor.counters._redis = redis.Redis.from_url("redis://localhost:1")
    executor.execute(shard_of(runs, list(range(7))))
    assert not missing_rows(runs[0]).size


def test_the_model_stays_loaded_until_another_is_asked_for(executor, make_runs):
    spec = make_runs().runs[0].spec
    loaded = executor.manager.engine_for(spec)
    assert executor.manager.engine_for(spec.model_copy(update={"max_new_tokens": 3})) is loaded
    assert executor.manager.engine_for(spec.model_copy(update={"dtype": "bfloat16"})) is not loaded


def test_a_model_that_another_takes_the_place_of_leaves_memory(executor, make_runs):
    """Although it is kept out of Python's collections while it is loaded."""
    spec = make_runs().runs[0].spec
    loaded = executor.manager.engine_for(spec)
    loaded.engine.itself = loaded.engine
    weights = weakref.ref(loaded.engine.model.get_input_embeddings())
    del loaded
    gc.collect()
    assert weights() is not None
    executor.manager.engine_for(spec.model_copy(update={"dtype": "bfloat16"}))
    assert weights() is None


def test_what_the_worker_chose_is_in_the_part_with_its_reason(executor, make_runs):
    runs = make_runs().runs
    executor.execute(shard_of(runs, list(range(7))))
    (choice,) = read_manifest(runs[0]).choices
    chosen = {"device": "cpu", "dtype": "float32", "attention": "sdpa", "layers": "eager"}
    assert choice == chosen | {"samples": 7}
    info = read_info(runs[0], list_parts(runs[0])[0])
    assert info.reasons["dtype"] == "--dtype asks for it"
    assert info.reasons["attention"] == "SELF_ENSEMBLE_ATTENTION asks for it"


def test_a_store_that_is_away_counts_as_no_attempt(executor, make_runs, monkeypatch):
    runs = make_runs().runs
    shard = shard_of(runs, list(range(7)))

    def away(*_):
        raise OSError(110, "timed out")

    with monkeypatch.context() as patch:
        patch.setattr("worker.executor.write_part", away)
        for _ in range(executor.settings.max_attempts + 2):
            with pytest.raises(RetryShard, match="timed out"):
                executor.execute(shard)
    assert executor.execute(shard) == []
    assert table(runs[0])["error"].null_count == 7


def test_a_store_that_may_not_be_written_is_no_passing_fault(executor, make_runs, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("worker.executor.write_part", denied)
    with pytest.raises(PermissionError):
        executor.execute(shard_of(make_runs().runs, [0]))

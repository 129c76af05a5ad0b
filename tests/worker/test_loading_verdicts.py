"""Verdicts: whatever goes wrong while a model is loaded ends its runs at once, with its text."""

import logging

import pytest
import torch
from celery.exceptions import Reject, Retry

from common.errors import RejectShard, RetryShard, StopRun
from common.models import find_model
from common.store import list_parts
from common.store.part_files import read_info
from tests.worker.checkpoints import configured, copied, cut, with_tensors
from tests.worker.conftest import shard_of
from worker import tasks
from worker.executor import ShardExecutor
from worker.model.gguf import unpacked_gguf

FAULTS = [
    OSError(28, "No space left on device"),
    PermissionError(13, "Permission denied", "/cache"),
    ImportError("no library"),
    KeyError("rope_type"),
    AttributeError("'Config' object has no attribute 'num_key_value_heads'"),
]


@pytest.mark.parametrize("where", ["_load_weights", "choose_attention", "Engine"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_loading_is_never_taken_for_one_of_the_store(
    executor, make_runs, monkeypatch, where, fault
):
    def fails(*_):
        raise fault

    monkeypatch.setattr(f"worker.manager.{where}", fails)
    runs = make_runs().runs
    with pytest.raises(StopRun, match=r"tiny-llama: no engine can be made of it") as stopped:
        executor.execute(shard_of(runs, [0, 1]))
    assert type(fault).__name__ in str(stopped.value)
    assert "store" not in str(stopped.value)
    assert list_parts(runs[0]) == []


def test_memory_that_runs_out_while_the_engine_is_made_is_said(executor, make_runs, monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("worker.manager.choose_attention", too_large)
    with pytest.raises(StopRun, match="memory ran out while its engine was made: CUDA out of"):
        executor.execute(shard_of(make_runs().runs, [0]))


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StopRun, match=r"cache folder .*file/models .*XDG_CACHE_HOME"):
        unpacked_gguf(find_model("smollm2_135m_it"), tmp_path / "file")


@pytest.fixture
def own_model(tiny_model, tmp_path):
    return copied(tiny_model, tmp_path / "own", lambda folder: None)


def doubled(folder):
    with_tensors(lambda t: {name: tensor * 2 for name, tensor in t.items()})(folder)


def identity(run):
    return read_info(run, list_parts(run)[0]).model_identity


def test_a_worker_reads_files_again_that_were_replaced_since(executor, make_runs, own_model):
    """It may have held the old model for weeks; the run was begun anew for the new one."""
    runs = make_runs(model=str(own_model)).runs
    executor.execute(shard_of(runs, list(range(7))))
    before = identity(runs[0])
    doubled(own_model)
    runs = make_runs(model=str(own_model), overwrite=True).runs
    executor.execute(shard_of(runs, list(range(7))))
    assert identity(runs[0]) != before
    assert runs[0].pinned_model() == identity(runs[0])


def test_a_worker_goes_on_with_a_model_whose_files_are_gone(executor, make_runs, own_model):
    runs = make_runs(model=str(own_model)).runs
    executor.execute(shard_of(runs, [0, 1, 2]))
    for path in own_model.iterdir():
        path.unlink()
    executor.execute(shard_of(runs, [3, 4, 5, 6]))
    assert runs[0].store.exists(runs[0].feather)


def test_what_a_checkpoint_asks_for_is_in_the_log_and_in_the_part(
    executor, make_runs, own_model, caplog
):
    configured("generation_config.json", repetition_penalty=1.3)(own_model)
    runs = make_runs(model=str(own_model)).runs
    with caplog.at_level(logging.INFO):
        executor.execute(shard_of(runs, [0, 1]))
    info = read_info(runs[0], list_parts(runs[0])[0])
    assert "generation is greedy (not applied of the checkpoint: repetition_pen" in caplog.text
    assert info.choices["generation"] == "greedy"
    assert "repetition_penalty=1.3" in info.reasons["generation"]


def test_a_model_whose_loading_ends_the_process_each_time_stops_the_run(executor, make_runs):
    """As on a host without memory for it. The shard is not cut down to single rows for that."""
    runs = make_runs().runs
    shard = shard_of(runs, [1, 2, 3])
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(executor._place, runs[0].spec.model)
        executor.counters.start_attempt(str(runs[0].key), shard.name)
    with pytest.raises(
        StopRun, match=r"was loaded 3 times, and each time the process on \S+ ended"
    ):
        executor.execute(shard)
    assert list_parts(runs[0]) == []


def test_after_that_verdict_the_model_is_tried_again(executor, make_runs):
    runs = make_runs().runs
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(executor._place, runs[0].spec.model)
    with pytest.raises(StopRun):
        executor.execute(shard_of(runs, [1]))
    assert executor.execute(shard_of(runs, [1])) == []
    assert len(list_parts(runs[0])) == 1


def test_deaths_of_another_worker_on_this_host_are_not_counted(executor, make_runs):
    other = ShardExecutor(
        executor.settings, executor.store, executor.counters, lambda *_: None, slot=1
    )
    runs = make_runs().runs
    for _ in range(executor.settings.max_attempts):
        executor.counters.start_attempt(other._place, runs[0].spec.model)
    assert executor.execute(shard_of(runs, [1])) == []


def test_a_model_that_loads_leaves_no_note(executor, make_runs):
    runs = make_runs().runs
    for row in range(5):
        executor.execute(shard_of(runs, [row]))
    assert executor.counters.attempts(executor._place, runs[0].spec.model) == 0


@pytest.fixture
def answer(executor, monkeypatch):
    """Run the task here for rows of runs, as a worker would with this process."""
    monkeypatch.setattr(tasks, "executor", lambda: executor)
    monkeypatch.setattr(tasks, "counters", lambda: executor.counters)

    def answer(runs, retries=0):
        tasks.answer_shard.push_request(retries=retries, called_directly=False, id="an id")
        try:
            tasks.answer_shard.run([str(run.key) for run in runs], [[0, 3]])
        finally:
            tasks.answer_shard.pop_request()
        return executor.counters.stop_reason(str(runs[0].key))

    return answer


def test_a_damaged_model_stops_the_run_with_the_name_of_its_file(answer, make_runs, own_model):
    cut("model.safetensors", 1000)(own_model)
    reason = answer(make_runs(model=str(own_model)).runs)
    assert f"{own_model}/model.safetensors (1,000 bytes) is damaged" in reason


def test_an_error_that_nobody_foresaw_stops_the_run_with_its_text(
    answer, executor, make_runs, monkeypatch
):
    """Celery would drop the message: the queue would be empty, and rows missing."""

    def fails(_):
        raise LookupError("not foreseen")

    monkeypatch.setattr(executor, "execute", fails)
    assert "LookupError: not foreseen" in answer(make_runs().runs)


def test_a_process_that_cannot_begin_stops_the_run(answer, make_runs, monkeypatch):
    def cannot():
        raise StopRun("a worker process cannot begin: no temporary folder")

    monkeypatch.setattr(tasks, "executor", cannot)
    assert "cannot begin" in answer(make_runs().runs)


def test_a_store_that_is_away_is_tried_again_and_the_producer_can_see_why(
    answer, executor, make_runs, monkeypatch
):
    runs = make_runs().runs

    def away(_):
        raise RetryShard("store /data: timed out")

    monkeypatch.setattr(executor, "execute", away)
    monkeypatch.setattr(tasks.answer_shard, "retry", lambda **_: Retry("later"))
    with pytest.raises(Retry):
        answer(runs)
    assert executor.counters.delayed(str(runs[0].key)) == "store /data: timed out"
    assert executor.counters.stop_reason(str(runs[0].key)) is None


def test_after_the_last_try_the_run_is_stopped(answer, executor, make_runs, monkeypatch):
    def away(_):
        raise RetryShard("store /data: timed out")

    monkeypatch.setattr(executor, "execute", away)
    assert "given up after 100 tries: store /data" in answer(make_runs().runs, retries=100)


def test_a_bad_message_stops_nothing(answer, executor, make_runs, monkeypatch):
    def rejects(_):
        raise RejectShard("rows that do not exist")

    runs = make_runs().runs
    monkeypatch.setattr(executor, "execute", rejects)
    with pytest.raises(Reject):
        answer(runs)
    assert executor.counters.stop_reason(str(runs[0].key)) is None

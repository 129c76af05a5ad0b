"""An error while a model is loaded is a verdict: it stops the runs at once, with its text."""

import logging

import pytest
import torch

from common.errors import StopRun
from common.store import list_parts
from common.store.parts import read_info
from tests.worker.checkpoints import configured, copied, with_tensors
from tests.worker.conftest import shard_of

FAULTS = [
    OSError(28, "No space left on device"),
    PermissionError(13, "Permission denied", "/cache"),
    ImportError("no library"),
    KeyError("rope_type"),
    AttributeError("'Config' object has no attribute 'num_key_value_heads'"),
]


@pytest.mark.parametrize("where", ["_load_weights", "attention_candidates", "Engine"])
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

    monkeypatch.setattr("worker.manager.attention_candidates", too_large)
    with pytest.raises(StopRun, match="memory ran out while its engine was made: CUDA out of"):
        executor.execute(shard_of(make_runs().runs, [0]))


@pytest.fixture
def own_model(tiny_model, tmp_path):
    return copied(tiny_model, tmp_path / "own", lambda folder: None)


def doubled(folder):
    with_tensors(lambda t: {name: tensor * 2 for name, tensor in t.items()})(folder)


def identity(run):
    return read_info(run, list_parts(run)[0]).model_identity


def test_a_worker_reads_files_again_that_were_replaced_since(executor, make_runs, own_model):
    """A worker may keep a model for weeks; the run was begun anew for the new files."""
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

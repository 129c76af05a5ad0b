"""Out of memory: the budget is halved, no row is lost, and the model keeps its budget."""

import logging

import pyarrow.feather as feather
import pytest
import torch

from common.errors import StopRun
from common.store import list_parts
from common.store.manifest import read_manifest
from common.store.parts import read_info
from tests.conftest import assert_rows_alike
from tests.worker.conftest import shard_of
from worker.engine.budget import Budget
from worker.engine.engine import Engine

BEGIN = Budget(4096, 64 << 20)
EVERYTHING = list(range(7))


@pytest.fixture
def settings(settings):
    limits = {"pack_tokens": BEGIN.pack_tokens, "kv_cache_gib": BEGIN.cache_bytes / 2**30}
    return settings.model_copy(update=limits)


def cuda_error():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_error():
    message = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
    return RuntimeError(f"{message}: you tried to allocate 8 bytes.")


@pytest.fixture
def memory_for(monkeypatch):
    """Give memory for packs of so many tokens; returns a list of the budgets that were tried."""
    answer = Engine.run

    def give(tokens, error=cuda_error, too_large=None):
        tried = []

        def limited(self, samples, *arguments):
            tried.append((self.budget, len(samples)))
            big = any(too_large and too_large in question.paraphrases[1] for question in samples)
            if self.budget.pack_tokens > tokens or big:
                raise error()
            return answer(self, samples, *arguments)

        monkeypatch.setattr(Engine, "run", limited)
        return tried

    return give


def table(run):
    return feather.read_table(run.feather_path)


def errors(run):
    return table(run)["error"].to_pylist()


@pytest.mark.parametrize("error", [cuda_error, cpu_error, MemoryError])
def test_the_same_samples_are_answered_with_half_the_budget(
    executor, make_runs, memory_for, error, caplog
):
    runs = make_runs().runs
    executor.execute(shard_of(runs, EVERYTHING))
    expected = table(runs[0])
    runs = make_runs(overwrite=True).runs
    tried = memory_for(1024, error)
    with caplog.at_level(logging.WARNING):
        executor.execute(shard_of(runs, EVERYTHING))
    steps = [BEGIN, Budget(2048, 32 << 20), Budget(1024, 16 << 20)]
    assert tried == [(step, 7) for step in steps]
    assert_rows_alike(table(runs[0]), expected)
    messages = [r.message for r in caplog.records if "out of memory" in r.message]
    assert messages == [f"out of memory, going on with half of the budget: {s}" for s in steps[1:]]


def test_the_next_shard_begins_with_what_memory_allowed(executor, make_runs, memory_for):
    runs = make_runs().runs
    tried = memory_for(1024)
    executor.execute(shard_of(runs, [0, 1, 2]))
    tried.clear()
    executor.execute(shard_of(runs, [3, 4, 5, 6]))
    assert tried == [(Budget(1024, 16 << 20), 4)]
    assert errors(runs[0]) == [None] * 7


def test_the_limit_of_a_model_is_kept_while_another_is_loaded(executor, make_runs, memory_for):
    runs = make_runs().runs
    spec = runs[0].spec
    memory_for(1024)
    executor.execute(shard_of(runs, [0, 1]))
    other = executor.manager.engine_for(spec.model_copy(update={"dtype": "bfloat16"}))
    assert other.engine.budget == BEGIN
    again = executor.manager.engine_for(spec)
    assert again.engine.budget == again.budget == Budget(1024, 16 << 20)
    assert "it ran out with more" in again.reasons["memory"]


def test_a_sample_that_never_fits_is_its_own_row_and_costs_the_others_nothing(
    executor, make_runs, memory_for
):
    runs = make_runs().runs
    tried = memory_for(10**9, too_large="number 4 ")
    executor.execute(shard_of(runs, EVERYTHING))
    texts = errors(runs[0])
    assert texts[4] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert texts[:4] + texts[5:] == [None] * 6
    assert table(runs[0])["error_kind"].to_pylist()[4] == "worker"
    assert (Budget(64, 16 << 20), 1) in tried
    loaded = executor.manager.engine_for(runs[0].spec)
    assert loaded.engine.budget == loaded.budget == BEGIN


def test_where_no_sample_fits_the_run_stops(executor, make_runs, memory_for):
    runs = make_runs().runs
    memory_for(0)
    with pytest.raises(StopRun, match=r"every sample of a shard failed.*out of memory"):
        executor.execute(shard_of(runs, EVERYTHING))
    assert list_parts(runs[0]) == []


def test_another_error_after_less_memory_is_not_taken_for_want_of_memory(
    executor, make_runs, memory_for, monkeypatch
):
    runs = make_runs().runs
    memory_for(2048)
    limited = Engine.run

    def no_fours(self, samples, *arguments):
        output = limited(self, samples, *arguments)
        if any("number 4 " in question.paraphrases[1] for question in samples):
            raise ArithmeticError("no fours")
        return output

    monkeypatch.setattr(Engine, "run", no_fours)
    executor.execute(shard_of(runs, EVERYTHING))
    assert errors(runs[0]) == [None] * 4 + ["ArithmeticError: no fours"] + [None] * 2
    loaded = executor.manager.engine_for(runs[0].spec)
    assert loaded.engine.budget == Budget(2048, 32 << 20)


def test_budgets_that_differ_do_not_make_a_file_mixed(executor, make_runs, memory_for):
    runs = make_runs().runs
    executor.execute(shard_of(runs, [0, 1, 2]))
    memory_for(1024)
    executor.execute(shard_of(runs, [3, 4, 5, 6]))
    assert not read_manifest(runs[0]).mixed_choices
    before, after = (read_info(runs[0], part).reasons for part in sorted(list_parts(runs[0])))
    assert before["pack_tokens"] == "4096 (SELF_ENSEMBLE_PACK_TOKENS asks for it)"
    assert "halved" not in before
    assert after["halved"] == "to 1024 tokens a pack, 0.02 GiB to decode"


@pytest.mark.parametrize("error", [cuda_error, cpu_error])
def test_a_model_that_does_not_fit_stops_the_run_and_says_so(
    executor, make_runs, monkeypatch, error
):
    def too_large(*_):
        raise error()

    monkeypatch.setattr("worker.manager.load_model", too_large)
    with pytest.raises(StopRun, match="in float32 does not fit into the free memory of cpu"):
        executor.manager.engine_for(make_runs().runs[0].spec)

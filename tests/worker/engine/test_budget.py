"""Budgets: from fake readings of free memory, from settings, and halved."""

import doctest
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from common.settings import Settings
from worker.engine import budget
from worker.engine.attention.flex import FLEX
from worker.engine.attention.sdpa import SDPA
from worker.engine.budget import (
    GIB,
    Budget,
    choose_budget,
    pack_bytes_per_token,
    pack_tokens_within,
)
from worker.model.geometry import ModelGeometry

SIZES = ModelGeometry(
    layers=3, heads=6, kv_heads=2, key_dim=7, value_dim=7, hidden_size=36, inner_size=53,
    vocabulary=307, num_ids=307, max_positions=499, causal_positions=499, steady_positions=499,
    layer_types=(), windows=(None,) * 3, chunk=None, softcap=None, movable=True, eos_ids=(2,),
    role_ids=frozenset(),
)  # fmt: skip


def fake_model(device="cpu"):
    return SimpleNamespace(device=torch.device(device), dtype=torch.float32)


@pytest.fixture(autouse=True)
def _known_sizes(monkeypatch):
    monkeypatch.setattr(budget, "geometry_of", lambda model: SIZES)


@pytest.fixture
def free(monkeypatch):
    """Sets the free memory by device; the host would run one process."""
    monkeypatch.setattr(budget, "default_processes", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)

    def set_free(**by_device):
        readings = {name.replace("_", ":"): number for name, number in by_device.items()}
        monkeypatch.setattr(budget, "free_memory", readings.__getitem__)

    return set_free


def test_the_bytes_of_a_token_are_those_counted_by_hand():
    """Queries are 6 * 7 = 42 wide, keys 2 * 7 = 14; numbers of 4 bytes, norms in float32."""
    layer = 4 * (3 * 36 + 4 * 42 + 4 * 14 + 4 * 53) + 2 * 4 * 36
    assert pack_bytes_per_token(SIZES, 4) == layer + 4 * 2 * 14 * 3 == 2800


def test_keys_wider_than_values_are_kept_as_wide_as_they_are():
    """A layer is counted as if all of its heads were as wide as the widest."""
    sizes = replace(SIZES, key_dim=12, value_dim=7)
    layer = 2 * (3 * 36 + 4 * 6 * 12 + 4 * 2 * 12 + 4 * 53) + 2 * 4 * 36
    assert pack_bytes_per_token(sizes, 2) == layer + 2 * 3 * 2 * (12 + 7)


@pytest.mark.parametrize("memory", [1, 9_999, 7 * 10**9])
def test_one_token_more_would_not_fit(memory):
    tokens = pack_tokens_within(memory, 2800)
    assert 18 * tokens**2 + 2800 * tokens <= memory
    assert 18 * (tokens + 1) ** 2 + 2800 * (tokens + 1) > memory


def test_on_a_cpu_with_plenty_of_memory_the_caches_are_the_limit(free):
    free(cpu=300 * GIB)
    chosen, why = choose_budget(Settings(), fake_model(), FLEX)
    assert chosen == Budget(4096, 2 * GIB)
    assert str(why["pack_tokens"]) == "4096 (a longer row leaves the processor's caches)"
    assert str(why["kv_cache_gib"]) == "2.00 (more sequences fill no processor better)"


def test_on_a_cpu_with_little_memory_that_is_the_limit(free):
    free(cpu=GIB // 128)
    chosen, why = choose_budget(Settings(), fake_model(), FLEX)
    assert chosen.pack_tokens == pack_tokens_within(GIB // 512, 2800) < 4096
    assert why["pack_tokens"].reason == "0.0 GiB are free on this host, 3 KiB a token"


def test_however_little_is_free_something_is_tried(free):
    free(cpu=0)
    chosen, _ = choose_budget(Settings(), fake_model(), FLEX)
    assert chosen.pack_tokens == 256
    assert 0 < chosen.cache_bytes <= 64 << 20


def test_processes_of_a_host_share_its_memory(free):
    free(cpu=6 * GIB)
    chosen, why = choose_budget(Settings(processes=3), fake_model(), FLEX)
    assert chosen.cache_bytes == GIB // 2
    assert why["kv_cache_gib"].reason == "2.0 GiB are free on this host for each of 3 processes"


@pytest.mark.parametrize(
    ("settings", "sharing"),
    [
        (Settings(processes=4), 1),
        (Settings(processes=5), 2),
        (Settings(processes=3, device="cuda:1"), 3),
    ],
)
def test_only_processes_of_the_same_gpu_share_its_memory(free, settings, sharing):
    """There are 4 GPUs; processes take them in turn unless one is asked for."""
    free(cuda_1=48 * GIB)
    chosen, why = choose_budget(settings, fake_model("cuda:1"), FLEX)
    assert chosen.cache_bytes == 48 * GIB // sharing // 4
    assert "free on its GPU" in why["kv_cache_gib"].reason


def test_a_gpu_takes_longer_rows_as_far_as_memory_allows(free):
    free(cuda_0=900 * GIB)
    assert choose_budget(Settings(), fake_model("cuda:0"), FLEX)[0].pack_tokens == 65_536
    free(cuda_0=4 * GIB)
    chosen, _ = choose_budget(Settings(), fake_model("cuda:0"), FLEX)
    assert chosen.pack_tokens == pack_tokens_within(GIB, 2800) > 4096


def test_sdpa_takes_short_rows_on_a_gpu_too(free):
    free(cuda_0=900 * GIB)
    chosen, why = choose_budget(Settings(), fake_model("cuda:0"), SDPA)
    assert chosen.pack_tokens == 4096
    assert "square" in why["pack_tokens"].reason


def test_a_setting_goes_before_what_is_free(free):
    free(cpu=0)
    settings = Settings(pack_tokens=777, kv_cache_gib=0.375)
    chosen, why = choose_budget(settings, fake_model(), FLEX)
    assert chosen == Budget(777, 3 * GIB // 8)
    assert why["pack_tokens"].reason == "SELF_ENSEMBLE_PACK_TOKENS asks for it"
    assert why["kv_cache_gib"].reason == "SELF_ENSEMBLE_KV_CACHE_GIB asks for it"


def test_halving_ends_at_a_floor_and_never_grows():
    steps = [Budget(4096, 2 * GIB)]
    while steps[-1].halved() != steps[-1]:
        steps.append(steps[-1].halved())
    assert steps[1] == Budget(2048, GIB)
    assert steps[-1] == Budget(64, 16 << 20)
    assert len(steps) == 1 + math.log2(2 * GIB // (16 << 20))
    assert Budget(7, 1).halved() == Budget(7, 1)


def test_of_two_budgets_the_smaller_of_each_is_taken():
    assert Budget(7, 900).at_most(Budget(8, 800)) == Budget(7, 800)


def test_the_examples_in_its_docstrings_are_true():
    results = doctest.testmod(budget)
    assert (results.attempted, results.failed) == (3, 0)

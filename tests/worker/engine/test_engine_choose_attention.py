"""Choices of backend, device and dtype; a chosen backend is never replaced silently."""

import logging

import pytest
import torch

from common.errors import StopRun, UsageError
from tests.worker.checkpoints import copied
from tests.worker.engine.families import make_config, make_model, make_tokenizer
from tests.worker.engine.other_families import build
from worker.engine.attention.backend import AttentionBackend
from worker.engine.attention.cascade_prefill import CASCADE
from worker.engine.attention.choose import (
    Candidate,
    attention_candidates,
    find_backend,
    short_form,
)
from worker.engine.attention.flex import FLEX
from worker.engine.attention.sdpa import SDPA
from worker.engine.engine import Engine
from worker.engine.verification import give_backend
from worker.executor import ShardExecutor
from worker.manager import ModelManager
from worker.model.device import choose_device, choose_dtype
from worker.model.resolved_setting import ResolvedSetting

SHORT = "packs under 256 tokens use"


def described(candidates):
    return [(backend, str(setting)) for backend, setting in candidates]


def test_on_a_gpu_auto_tries_flex_and_then_sdpa_which_needs_no_compiler():
    assert described(attention_candidates("auto", "cuda")) == [
        (FLEX, f"flex (it skips the blocks that nobody sees; {SHORT} sdpa)"),
        (SDPA, "sdpa (it needs no compiler)"),
    ]


def test_on_a_cpu_auto_takes_cascade_alone():
    assert described(attention_candidates("auto", "cpu")) == [
        (CASCADE, f"cascade (the fastest on a CPU; {SHORT} sdpa)")
    ]


def test_a_model_that_caps_scores_gets_cascade_where_others_get_sdpa():
    assert short_form(50.0) is CASCADE
    assert [c.backend for c in attention_candidates("auto", "cuda", 50.0)] == [FLEX, CASCADE]
    assert described(attention_candidates("auto", "cpu", 50.0)) == [
        (CASCADE, "cascade (the fastest on a CPU)")
    ]


@pytest.mark.parametrize("backend", [CASCADE, FLEX, SDPA])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_backend_asked_for_is_the_only_candidate(backend, device):
    ((found, setting),) = attention_candidates(backend.name, device)
    assert found is backend
    assert setting.reason.startswith("SELF_ENSEMBLE_ATTENTION asks for it")


def test_a_backend_asked_for_that_cannot_compute_the_model_stops_the_run():
    with pytest.raises(StopRun, match=r"=sdpa: sdpa cannot cap scores, here at 50; set it"):
        attention_candidates("sdpa", "cpu", 50.0)


@pytest.mark.parametrize("find", [find_backend, lambda name: attention_candidates(name, "cpu")])
def test_an_unknown_name_is_refused_with_the_known_ones(find):
    with pytest.raises((StopRun, UsageError), match=r"'magic'.* known are auto, .*sdpa"):
        find("magic")


class NeedsCompiler(AttentionBackend):
    """A backend that cannot be compiled here."""

    name = "needs_compiler"
    compiles = True

    def create_mask(self, *arguments):
        raise RuntimeError("no C++ compiler found\nsecond line")

    __call__ = create_mask


class ReadsNeighbours(type(SDPA)):
    """A backend that gives another answer."""

    name = "reads_neighbours"

    def __call__(self, query, key, value, mask, scaling, softcap=None):
        return super().__call__(query, key, value.roll(1, dims=2), mask, scaling)


def candidate(backend):
    return Candidate(backend, ResolvedSetting(backend.name, "for a test"))


@pytest.fixture
def engine():
    return Engine(make_model(make_config("mistral")), make_tokenizer(False), CASCADE)


def test_a_backend_that_cannot_be_compiled_gives_way_to_the_next_and_it_is_said(engine, caplog):
    candidates = [candidate(NeedsCompiler()), candidate(SDPA)]
    with caplog.at_level(logging.WARNING):
        chosen = give_backend(engine, candidates)
    reason = "needs_compiler cannot be compiled here: no C++ compiler found"
    assert chosen == ResolvedSetting("sdpa", f"{reason}; for a test")
    assert engine.runner.backend is SDPA
    assert reason in caplog.text


def test_a_backend_asked_for_that_cannot_be_compiled_is_never_replaced(engine):
    with pytest.raises(StopRun, match=r"no C\+\+ compiler found; set SELF_ENSEMBLE_ATT"):
        give_backend(engine, [candidate(NeedsCompiler())])


def test_a_backend_that_gives_another_answer_stops_the_run_before_another_is_tried(engine):
    with pytest.raises(StopRun, match="logits differ from those of transformers"):
        give_backend(engine, [candidate(ReadsNeighbours()), candidate(SDPA)])


def test_a_backend_that_compiles_nothing_is_not_replaced_for_an_error(engine, monkeypatch):
    def fail(*_):
        raise RuntimeError("a fault of its own")

    monkeypatch.setattr(type(SDPA), "create_mask", fail)
    with pytest.raises(RuntimeError, match="a fault of its own"):
        give_backend(engine, [candidate(SDPA), candidate(CASCADE)])


@pytest.fixture
def capped(tiny_model, tmp_path):
    """The folder of a Gemma 2, which caps scores at 50."""
    return str(
        copied(tiny_model, tmp_path / "capped", build("gemma2", head_dim=16).save_pretrained)
    )


def test_a_worker_takes_cascade_for_a_model_that_caps_scores(settings, capped):
    manager = ModelManager(settings.model_copy(update={"attention": "auto"}), 0)
    loaded = manager.engine_of(capped, capped, "float32", 1)
    assert loaded.engine.runner.backend is CASCADE
    assert loaded.reasons["attention"] == "the fastest on a CPU"


def test_a_worker_that_is_told_to_use_sdpa_refuses_a_model_that_caps_scores(settings, capped):
    with pytest.raises(StopRun, match="=sdpa: sdpa cannot cap scores, here at 50; set it to auto"):
        ModelManager(settings, 0).engine_of(capped, capped, "float32", 1)


def test_an_executor_refuses_a_setting_that_names_no_backend(settings):
    unknown = settings.model_copy(update={"attention": "magic"})
    with pytest.raises(UsageError, match="'magic': no attention backend has this name"):
        ShardExecutor(unknown, *[None] * 3)


@pytest.mark.parametrize("setting", ["cpu", "cuda:3"])
def test_a_device_asked_for_is_taken(setting):
    assert choose_device(setting, 7).value == setting


def test_without_a_gpu_the_device_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", 3) == ResolvedSetting("cpu", "torch sees no GPU")


@pytest.mark.parametrize(("slot", "gpu"), [(0, 0), (1, 1), (4, 1)])
def test_processes_take_gpus_in_turn(monkeypatch, slot, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    choice = choose_device("auto", slot)
    assert choice.value == f"cuda:{gpu}"
    assert f"process {slot} takes GPU {gpu}" in choice.reason


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_dtype_asked_for_is_taken(dtype):
    assert choose_dtype(dtype, "cpu").value == dtype


@pytest.mark.parametrize(
    ("capabilities", "value"),
    [({}, "float32"), ({"avx2": True}, "float32"), ({"amx_bf16": True}, "bfloat16")],
)
def test_auto_takes_bfloat16_where_the_processor_computes_it(monkeypatch, capabilities, value):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    choice = choose_dtype("auto", "cpu")
    assert choice.value == value
    assert "natively" in choice.reason
    assert str(choice) == f"{value} ({choice.reason})"

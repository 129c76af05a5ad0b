"""Choices of backend, device and dtype; a chosen backend is never replaced silently."""

import logging
import math

import pytest
import torch

from common.errors import StopRun
from tests.worker.engine.families import make_config, make_model
from tests.worker.engine.other_families import LATENT, build
from worker.engine.attention import choose
from worker.engine.attention.choose import choose_backend, flex_difference
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.model.device import choose_device, choose_dtype
from worker.model.resolved_setting import ResolvedSetting


@pytest.fixture
def model():
    return make_model(make_config("mistral"))


@pytest.fixture
def flex_fails(monkeypatch):
    def fail(model):
        raise RuntimeError("no C++ compiler found\nsecond line")

    monkeypatch.setattr(choose, "flex_difference", fail)


@pytest.fixture
def flex_differs(monkeypatch):
    def differ_by(difference):
        monkeypatch.setattr(choose, "flex_difference", lambda model: difference)

    return differ_by


def test_auto_takes_flex_where_it_compiles_and_agrees(model):
    backend, choice = choose_backend("auto", model)
    assert isinstance(backend, FlexBackend)
    assert choice.value == backend.name == "flex"
    assert "equal to sdpa" in choice.reason


def test_both_backends_agree_on_this_machine(model):
    assert flex_difference(model) < 1e-5


def test_both_backends_agree_where_keys_are_wider_than_values():
    assert flex_difference(build("deepseek_v3", **LATENT)) < 1e-5


def test_auto_falls_back_to_sdpa_and_says_that_flex_cannot_be_compiled(model, flex_fails, caplog):
    with caplog.at_level(logging.WARNING):
        backend, choice = choose_backend("auto", model)
    assert isinstance(backend, SdpaBackend)
    assert choice.value == backend.name == "sdpa"
    assert choice.reason == "flex_attention cannot be compiled here: no C++ compiler found"
    assert choice.reason in caplog.text


def test_flex_asked_for_is_never_replaced(model, flex_fails):
    with pytest.raises(StopRun, match=r"no C\+\+ compiler found; set SELF_ENSEMBLE_ATTENTION"):
        choose_backend("flex", model)


def test_sdpa_asked_for_compiles_nothing(model, flex_fails):
    backend, choice = choose_backend("sdpa", model)
    assert isinstance(backend, SdpaBackend)
    assert choice == ResolvedSetting("sdpa", "SELF_ENSEMBLE_ATTENTION asks for it")


@pytest.mark.parametrize("setting", ["auto", "flex"])
@pytest.mark.parametrize("difference", [0.06, 1.0, math.inf])
def test_a_backend_that_gives_another_answer_stops_the_run(
    model, flex_differs, setting, difference
):
    flex_differs(difference)
    with pytest.raises(StopRun, match=r"differs from sdpa by"):
        choose_backend(setting, model)


@pytest.mark.parametrize("setting", ["auto", "flex"])
def test_a_backend_that_gives_nan_stops_the_run(model, flex_differs, setting):
    """No comparison with NaN holds, so a plain `>` lets it through."""
    flex_differs(math.nan)
    with pytest.raises(StopRun, match=r"differs from sdpa by"):
        choose_backend(setting, model)


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

"""Compiling a model's layers: when it is done, what it reports, and that no answer changes."""

import logging

import pytest
import torch

from common.errors import StopRun
from tests.worker.conftest import shard_of
from tests.worker.engine.answers import answers_of
from worker.answering import make_request
from worker.engine import compilation, verification
from worker.engine.attention.cascade import cascade
from worker.engine.compilation import (
    ASKED_FOR,
    COMPILE_FROM,
    COMPILED,
    EAGER,
    TOO_FEW,
    compile_layers,
    wants_compiled,
)
from worker.engine.verification import compile_engine
from worker.model.resolved_setting import ResolvedSetting

WANTED = ResolvedSetting("compiled", "for a test")


@pytest.fixture
def engine(executor, make_runs):
    return executor.manager.engine_for(make_runs().runs[0].spec).engine


@pytest.mark.parametrize(
    ("setting", "samples", "value"),
    [
        ("auto", COMPILE_FROM - 1, "eager"),
        ("auto", COMPILE_FROM, "compiled"),
        ("auto", None, "compiled"),
        ("always", 1, "compiled"),
        ("never", COMPILE_FROM, "eager"),
        ("never", None, "eager"),
    ],
)
def test_large_runs_are_compiled_for_unless_a_setting_says_otherwise(setting, samples, value):
    assert wants_compiled(setting, samples).value == value


def test_a_small_run_is_answered_as_written_and_says_why(executor, make_runs):
    loaded = executor.manager.engine_for(make_runs().runs[0].spec)
    assert (loaded.choices["layers"], loaded.reasons["layers"]) == ("eager", TOO_FEW)


def test_a_larger_run_of_the_held_model_is_compiled_for(executor, make_runs, monkeypatch):
    spec = make_runs().runs[0].spec
    small = executor.manager.engine_for(spec)
    monkeypatch.setattr(compilation, "COMPILE_FROM", spec.num_samples)
    monkeypatch.setattr("worker.manager.compile_engine", lambda wanted, engine: wanted)
    large = executor.manager.engine_for(spec)
    assert large.choices["layers"] == "compiled"
    assert large.engine is small.engine
    monkeypatch.setattr(compilation, "COMPILE_FROM", spec.num_samples + 1)
    assert executor.manager.engine_for(spec) is large, "what is compiled stays so"


def compile_and_fail(model):
    compile_layers(model)
    raise RuntimeError("no C++ compiler found\nsecond line")


def test_what_cannot_be_compiled_goes_on_as_written_and_says_so(engine, monkeypatch, caplog):
    monkeypatch.setattr(verification, "compile_layers", compile_and_fail)
    backend, ops = engine.runner.backend, engine.runner.ops
    with caplog.at_level(logging.WARNING):
        choice = compile_engine(WANTED, engine)
    assert choice == ResolvedSetting("eager", "it cannot be compiled here: no C++ compiler found")
    assert choice.reason in caplog.text
    assert (engine.runner.backend, engine.runner.ops) == (backend, ops)
    assert not any(layer._compiled_call_impl for layer in engine.model.base_model.layers)


def test_compiled_code_asked_for_is_never_replaced(engine, monkeypatch):
    monkeypatch.setattr(verification, "compile_layers", compile_and_fail)
    with pytest.raises(StopRun, match=r"no C\+\+ compiler found; set SELF_ENSEMBLE_COMPILE=never"):
        compile_engine(ResolvedSetting("compiled", ASKED_FOR), engine)


@pytest.fixture
def switched_off(monkeypatch):
    """torch runs as written what it is asked to compile, as with TORCH_COMPILE_DISABLE=1."""
    monkeypatch.setattr(verification, "COMPILED", EAGER)
    with torch._dynamo.config.patch(disable=True):
        yield


def test_layers_that_torch_runs_as_written_are_not_called_compiled(engine, switched_off):
    """Every logit is equal, because nothing was compiled."""
    choice = compile_engine(WANTED, engine)
    assert choice.value == "eager"
    assert "torch ran layer 0 as written: compiled code ran in 0 of its calls" in choice.reason


def test_layers_that_torch_runs_as_written_stop_a_run_that_asks_for_compiled_ones(
    engine, switched_off
):
    with pytest.raises(StopRun, match=r"layer 0 as written.*; set SELF_ENSEMBLE_COMPILE=never"):
        compile_engine(ResolvedSetting("compiled", ASKED_FOR), engine)


def test_one_layer_that_runs_as_written_among_compiled_ones_is_found(engine, monkeypatch):
    def compile_all_but_one(model):
        compile_layers(model)
        model.base_model.layers[1]._compiled_call_impl = None

    monkeypatch.setattr(verification, "compile_layers", compile_all_but_one)
    choice = compile_engine(WANTED, engine)
    assert choice.value == "eager"
    assert "torch ran layer 1 as written: compiled code ran in 0 of its calls" in choice.reason


def next_row(*arguments, **options):
    return cascade(*arguments, **options).roll(1, dims=0)


def not_a_number(*arguments, **options):
    return cascade(*arguments, **options) * torch.nan


@pytest.mark.parametrize("attend", [next_row, not_a_number])
def test_compiled_code_that_gives_another_answer_stops_the_run(engine, monkeypatch, attend):
    monkeypatch.setattr(verification, "compile_layers", lambda model: None)
    monkeypatch.setattr(verification, "COMPILED", EAGER._replace(attend=attend))
    with pytest.raises(StopRun, match=r"compiled: .*logits differ .*set SELF_ENSEMBLE_COMPILE="):
        compile_engine(WANTED, engine)


def test_a_compiled_engine_answers_a_shard_as_the_code_as_written(executor, make_runs):
    runs = make_runs().runs
    executor.execute(shard_of(runs, [0, 1, 2]))
    engine = executor.manager.engine_for(runs[0].spec).engine
    samples = [("who is it?", "it is whom?"), ("where is it?", "it is where?")]
    request = make_request([run.spec for run in runs])
    before = answers_of(engine, samples, request)
    assert compile_engine(WANTED, engine).value == "compiled"
    assert engine.runner.ops is COMPILED
    after = answers_of(engine, samples, request)
    for old, new in zip(before, after, strict=True):
        for name, answers in old.items():
            assert [a.tokens for a in answers] == [b.tokens for b in new[name]]
            torch.testing.assert_close(
                [a.logprob for a in answers], [b.logprob for b in new[name]], atol=1e-4, rtol=0
            )

"""The manager compares an engine with its model's own attention: when loaded, when compiled."""

from contextlib import nullcontext

import pytest

from common.errors import StopRun
from worker import manager
from worker.engine import verification
from worker.model.resolved_setting import ResolvedSetting


@pytest.fixture
def checked(monkeypatch):
    """The engines that were compared, and the faults of the next comparisons."""
    engines, faults = [], []

    def check(engine):
        engines.append(engine)
        if faults:
            raise StopRun(faults.pop())
        return "as it should be"

    monkeypatch.setattr(verification, "check_engine", check)
    # Compared code counts as compiled: nothing is compiled here.
    monkeypatch.setattr(verification, "compile_layers", lambda model: None)
    monkeypatch.setattr(verification, "refuse_eager_layers", lambda model, least: nullcontext())
    return engines, faults


def test_a_model_is_compared_once_for_as_long_as_it_is_held(executor, make_runs, checked, caplog):
    spec = make_runs().runs[0].spec
    with caplog.at_level("INFO"):
        loaded = executor.manager.engine_for(spec)
    assert executor.manager.engine_for(spec) is loaded
    assert checked[0] == [loaded.engine]
    assert "equal to transformers' eager attention: as it should be" in caplog.text


def test_a_model_that_differs_is_not_held(executor, make_runs, checked):
    spec = make_runs().runs[0].spec
    checked[1].append("logits differ")
    with pytest.raises(StopRun, match="logits differ"):
        executor.manager.engine_for(spec)
    assert executor.manager.engine_for(spec).engine is checked[0][1]
    assert checked[0][0] is not checked[0][1]


def test_an_engine_is_compared_again_when_it_was_compiled(
    executor, make_runs, checked, monkeypatch
):
    spec = make_runs().runs[0].spec
    executor.manager.engine_for(spec)
    wanted = ResolvedSetting("compiled", "for a test")
    monkeypatch.setattr(manager, "wants_compiled", lambda *_: wanted)
    executor.manager.engine_for(spec)
    assert len(checked[0]) == 2


def test_compiled_code_that_differs_is_not_used(executor, make_runs, checked, monkeypatch):
    spec = make_runs().runs[0].spec
    first = executor.manager.engine_for(spec)
    wanted = ResolvedSetting("compiled", "for a test")
    monkeypatch.setattr(manager, "wants_compiled", lambda *_: wanted)
    checked[1].append("logits differ")
    with pytest.raises(StopRun, match="logits differ"):
        executor.manager.engine_for(spec)
    assert executor.manager.engine_for(spec).engine is not first.engine

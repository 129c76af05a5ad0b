"""A worker and the revisions of a hub model: each is a model of its own."""

import pytest

from common.models import ModelSource
from common.run import RunSpec
from worker import manager
from worker.manager import ModelManager


@pytest.fixture
def asked(monkeypatch, tiny_model):
    """The sources that were loaded; each is the tiny model."""
    sources = []
    load_model = manager.load_model

    def load(source, dtype, device):
        sources.append(source)
        return load_model(ModelSource("tiny", "directory", str(tiny_model)), dtype, device)

    monkeypatch.setattr(manager, "load_model", load)
    return sources


@pytest.fixture
def spec(make_runs) -> RunSpec:
    return make_runs(model="owner/model", revision="v1").runs[0].spec


def test_each_revision_is_loaded_and_stays_until_another_is_asked_for(settings, spec, asked):
    held = ModelManager(settings, 0)
    first = held.engine_for(spec)
    assert held.engine_for(spec.model_copy(update={"max_new_tokens": 3})) is first
    assert held.held == "owner/model@v1"
    for revision in ("v2", None):
        assert held.engine_for(spec.model_copy(update={"revision": revision})) is not first
    assert [source.revision for source in asked] == ["v1", "v2", None]
    assert {source.location for source in asked} == {"owner/model"}
    assert held.held == "owner/model"


def test_the_revision_of_the_warm_model_is_the_one_that_is_loaded(executor, spec, asked):
    warm = {"warm_model": "owner/model", "warm_revision": "v1", "warm_dtype": spec.dtype}
    executor.settings = executor.settings.model_copy(update=warm | {"compile": "never"})
    executor.warm_up()
    loaded = executor.manager.engine_for(spec)
    assert [source.slug for source in asked] == ["owner--model+v1"]
    assert executor.manager.engine_for(spec) is loaded

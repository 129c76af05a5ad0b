"""A backend of another package: one class and one call, chosen by its name like any other."""

import pytest
import torch

from common.settings import Settings
from tests.worker.conftest import shard_of
from tests.worker.engine.families import SAMPLES, make_request
from worker.engine.attention.backend import BACKENDS, AttentionBackend, register_backend
from worker.engine.attention.masks import create_visibility_dense_mask


class WrittenOut(AttentionBackend):
    """Attention by an explicit softmax, with every key repeated for the queries that share it."""

    name = "written_out"

    def create_mask(self, spec, num_q, num_kv, device):
        return create_visibility_dense_mask(spec.mask_mod, num_q, num_kv, device, spec.score_mod)

    def __call__(self, query, key, value, mask, scaling, softcap=None):
        repeats = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
        scores = query @ key.transpose(-1, -2) * scaling
        scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
        bias = mask if mask.is_floating_point() else mask.float().log()
        scores = scores + bias
        return scores.softmax(dim=-1) @ value


@pytest.fixture
def written_out():
    register_backend(backend := WrittenOut())
    yield backend
    del BACKENDS[backend.name]


@pytest.fixture
def settings(settings, written_out):
    chosen = Settings.from_environment({"SELF_ENSEMBLE_ATTENTION": "written_out"}).attention
    return settings.model_copy(update={"attention": chosen})


def test_a_setting_chooses_a_registered_backend_by_its_name(executor, make_runs, written_out):
    runs = make_runs().runs
    executor.execute(shard_of(runs, [0, 1]))
    loaded = executor.manager.engine_for(runs[0].spec)
    assert loaded.engine.runner.backend is written_out
    assert loaded.choices["attention"] == "written_out"
    assert loaded.reasons["attention"] == "SELF_ENSEMBLE_ATTENTION asks for it"


@pytest.mark.parametrize("method", ["avg", "flex_attention", "flex_attention_length_corrected"])
def test_a_registered_backend_equals_the_reference(
    make_engine, tokenizers, compare, family, written_out, method
):
    engine = make_engine(family, engine={"backend": written_out})
    compare(engine, tokenizers[False], SAMPLES, make_request(method))


@pytest.mark.parametrize("name", ["auto", "sdpa", "written_out"])
def test_a_name_is_registered_once(written_out, name):
    backend = WrittenOut()
    backend.name = name
    with pytest.raises(ValueError, match=rf"'{name}': the name is taken"):
        register_backend(backend)

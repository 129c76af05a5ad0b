"""Moving keys: a rotated key equals the key computed there, for models that allow it."""

import pytest
import torch
from transformers import CohereConfig, Gemma3TextConfig, GPT2Config, SmolLM3Config

from tests.worker.engine.families import make_config, make_model
from tests.worker.engine.packs import prefill
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.segments import Segment
from worker.model.attention_interface import install_attention
from worker.model.geometry import geometry_of
from worker.model.rope import rotate, rotation

SIZES = {
    "vocab_size": 307,
    "hidden_size": 36,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
SCALED = {
    "factor": 4.0,
    "rope_theta": 1e4,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


def installed(config):
    model = make_model(config)
    install_attention(model)
    return model


def test_keys_of_the_four_families_can_be_moved(family):
    assert geometry_of(make_model(make_config(family))).movable is True


@pytest.mark.parametrize("rope_type", ["linear", "llama3", "yarn"])
def test_keys_with_fixed_frequencies_can_be_moved(rope_type):
    rope = {"rope_type": rope_type, **SCALED}
    assert geometry_of(make_model(make_config("llama", rope_parameters=rope))).movable is True


@pytest.mark.parametrize("rope_type", ["dynamic"])
def test_keys_whose_frequencies_change_with_length_cannot_be_moved(rope_type):
    rope = {"rope_type": rope_type, "factor": 2.0, "rope_theta": 1e4}
    assert geometry_of(make_model(make_config("llama", rope_parameters=rope))).movable is False


OTHERS = {
    "another_rotary_convention": CohereConfig(**SIZES),
    "a_layer_without_positions": SmolLM3Config(**SIZES, no_rope_layers=[1, 0, 1]),
    "learned_positions": GPT2Config(vocab_size=307, n_embd=36, n_layer=3, n_head=6),
    "a_rotary_table_per_layer_type": Gemma3TextConfig(**SIZES, head_dim=6),
}


@pytest.mark.parametrize("name", OTHERS)
def test_keys_of_other_kinds_cannot_be_moved(name):
    assert geometry_of(make_model(OTHERS[name])).movable is False


@pytest.mark.parametrize("offset", [1, 13, 257])
@torch.inference_mode()
def test_a_moved_segment_equals_the_one_computed_there(family, offset):
    model = installed(make_config(family))
    tokens = tuple(range(5, 24))
    here, there = Segment(tokens, 0), Segment(tokens, offset)
    cache = prefill(model, SdpaBackend(), [here, there])
    a, b = (slice(cache.slots[s].start, cache.slots[s].stop) for s in (here, there))
    moved = rotate(cache.keys[:, :, a], *rotation(model, torch.full((len(tokens),), offset)))
    torch.testing.assert_close(moved, cache.keys[:, :, b], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cache.values[:, :, a], cache.values[:, :, b], atol=1e-4, rtol=1e-4)


def test_rotating_back_and_forth_changes_nothing(family):
    model = installed(make_config(family))
    offsets = torch.tensor([3, 0, -41, 17])
    cos, sin = rotation(model, offsets)
    x = torch.randn(5, 4, cos.shape[-1], generator=torch.Generator().manual_seed(1))
    back = rotate(rotate(x, cos, sin), *rotation(model, -offsets))
    torch.testing.assert_close(back, x, atol=1e-5, rtol=1e-5)


def test_a_score_depends_on_the_distance_of_query_and_key_alone(family):
    model = installed(make_config(family))
    forward, backward = (rotation(model, torch.tensor([s])) for s in (29, -29))
    generator = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 7, forward[0].shape[-1], generator=generator)
    moved_key = query @ rotate(key, *forward).T
    torch.testing.assert_close(rotate(query, *backward) @ key.T, moved_key, atol=1e-4, rtol=1e-4)

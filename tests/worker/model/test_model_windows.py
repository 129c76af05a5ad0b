"""Windows and soft-caps are read per layer, from masks and configs that name them differently."""

from dataclasses import replace

import pytest
from transformers import AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, sliding_window_causal_mask_function

from common.errors import StopRun
from tests.worker.engine.families import make_config, make_model
from tests.worker.engine.other_families import build, build_nested
from worker.model import model_mask
from worker.model.config_facts import read_config
from worker.model.geometry import geometry_of

SLIDING, FULL = "sliding_attention", "full_attention"


@pytest.mark.parametrize(
    ("family", "changes", "windows"),
    [
        ("mistral", {"sliding_window": 61}, (61, 61, 61)),
        ("mistral", {"sliding_window": 1}, (1, 1, 1)),
        ("mistral", {"sliding_window": 498}, (498, 498, 498)),
        ("mistral", {"sliding_window": 499}, (None, None, None)),
        ("mistral", {"sliding_window": None}, (None, None, None)),
        ("gemma2", {"head_dim": 16, "sliding_window": 7}, (7, None, 7)),
        (
            "gemma3_text",
            {"head_dim": 16, "sliding_window": 9, "layer_types": [SLIDING, FULL, SLIDING]},
            (9, None, 9),
        ),
        ("qwen2", {"sliding_window": 8, "use_sliding_window": False}, (None, None, None)),
        (
            "qwen2",
            {
                "sliding_window": 8, "use_sliding_window": True,
                "layer_types": [FULL, SLIDING, FULL],
            },
            (None, 8, None),
        ),
    ],
)  # fmt: skip
def test_the_window_of_each_layer_is_found_and_is_no_other_limit(family, changes, windows):
    sizes = geometry_of(build(family, **changes))
    assert sizes.windows == windows
    assert sizes.causal_positions == 499


def test_the_windows_of_a_nested_text_model_are_found():
    types = [SLIDING, SLIDING, FULL]
    model = build_nested("gemma3", head_dim=16, sliding_window=11, layer_types=types)
    sizes = geometry_of(model)
    assert (sizes.windows, sizes.layer_types) == ((11, 11, None), tuple(types))


def test_a_window_larger_than_the_model_is_none():
    assert (
        geometry_of(make_model(make_config("mistral", sliding_window=4096))).windows == (None,) * 3
    )


def limits(rule, named=None, positions=499):
    return model_mask._limits(rule, named, positions, "cpu")


@pytest.mark.parametrize("window", [1, 2, 9, 498])
def test_a_window_that_only_the_config_names_is_accepted_if_the_mask_equals_it(window):
    rule = model_mask._Rule(sliding_window_causal_mask_function(window), None)
    assert limits(rule, window) == (window, 499)
    assert limits(rule, window + 1) == limits(rule, window + 7) == limits(rule) == (None, window)


@pytest.mark.parametrize("odd", ["hides_the_last_key", "sees_the_first_key", "sees_the_next_key"])
def test_a_mask_that_differs_from_its_window_in_one_place_is_a_limit(odd):
    window = 9

    def sees(batch, head, q, k):
        within = (k <= q) & (q - k < window)
        return {
            "hides_the_last_key": within & (q - k != window - 1),
            "sees_the_first_key": within | (k == 0),
            "sees_the_next_key": within | (k == q + 1),
        }[odd]

    found, limit = limits(model_mask._Rule(sees, window))
    assert found is None
    assert limit < 499 or odd == "sees_the_first_key"


def test_a_causal_mask_has_no_window_whatever_the_config_names():
    assert limits(model_mask._Rule(causal_mask_function, None), 9) == (None, 499)


def test_a_cache_with_another_window_than_the_mask_is_a_limit():
    model = build("mistral", sliding_window=9)
    assert model_mask._cached_positions(model, (9, 9, 9), 499) == 499
    assert model_mask._cached_positions(model, (9, 11, 9), 499) == 9
    assert model_mask._cached_positions(model, (None,) * 3, 499) == 9


def test_the_mask_is_built_by_transformers_again_afterwards():
    model = build("mistral", sliding_window=9)
    before = model.config._attn_implementation
    model_mask.mask_limits(model, read_config(model.config), 499)
    assert model.config._attn_implementation == before
    assert model_mask._NAME in AttentionMaskInterface().valid_keys()


@pytest.mark.parametrize("cap", [None, 30.0])
def test_the_soft_cap_of_scores_is_read(cap):
    model = build("gemma2", head_dim=16, attn_logit_softcapping=cap)
    assert geometry_of(model).softcap == cap


def test_a_soft_cap_that_layers_do_not_ask_for_is_refused():
    model = build("gemma3_text", head_dim=16)
    model.config.attn_logit_softcapping = 50.0
    with pytest.raises(StopRun, match=r"layer 0 wants a soft-cap of None, its config says 50\.0"):
        geometry_of(model)


def test_prompt_and_answer_may_take_one_position_more_than_are_computed():
    """The last generated token is never fed."""
    sizes = replace(geometry_of(make_model(make_config("llama"))), causal_positions=30)
    assert sizes.length_fault(25, 5) is None
    assert sizes.length_fault(26, 5).startswith("its prompt and answer take 32 positions, and")
    assert (
        sizes.length_fault(498, 1) == "its prompt and answer take 500 positions, the model has 499"
    )

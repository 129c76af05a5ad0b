"""Fast path and reference agree: every method, layout, position scheme, with and without BOS.

Both run in float32 on the same weights. The engine caches, packs, shares and moves keys; the
reference recomputes the whole prompt for every token with transformers' eager attention.
"""

from itertools import product

import pytest

from common.methods import METHODS
from tests.worker.engine.families import SAMPLES, TEMPLATE, make_request

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_fast_logits_and_tokens_equal_the_reference(
    make_engine, tokenizers, compare, family, bos, layout, positions, method
):
    request = make_request(method, layout=layout, positions=positions)
    compare(make_engine(family, bos), tokenizers[bos], SAMPLES, request)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_keys_that_may_not_move_give_the_reference_too(
    make_engine, tokenizers, compare, bos, layout, positions
):
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    engine = make_engine("llama", bos, rope_parameters=rope)
    request = make_request("flex_attention", layout=layout, positions=positions)
    compare(engine, tokenizers[bos], SAMPLES, request)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_a_template_without_instruction_and_examples_equals_the_reference(
    make_engine, tokenizers, compare, bos, layout, positions
):
    template = TEMPLATE.model_copy(update={"instruction": ""})
    request = make_request(
        "flex_attention", layout=layout, positions=positions, template=template, few_shot=()
    )
    compare(make_engine("llama", bos), tokenizers[bos], SAMPLES, request)


@pytest.mark.parametrize("rope_type", ["linear", "llama3", "yarn"])
def test_scaled_rotary_embeddings_equal_the_reference(make_engine, tokenizers, compare, rope_type):
    rope = {
        "rope_type": rope_type,
        "factor": 4.0,
        "rope_theta": 1e4,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    engine = make_engine("llama", rope_parameters=rope)
    compare(engine, tokenizers[False], SAMPLES, make_request("flex_attention"))

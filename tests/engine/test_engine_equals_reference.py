"""Fast path and reference agree: every method, layout, position scheme, with and without BOS.

Both run in float32 on the same weights. The engine caches, packs, shares and moves keys; the
reference recomputes the whole prompt for every token with transformers' eager attention.
"""

import copy
from itertools import product

import pytest
import torch
from families import EOS, SAMPLES, VOCABULARY, make_request

from common.methods import METHODS
from worker.engine import reference
from worker.engine.tokenise import PromptTokenizer

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))


@pytest.fixture
def compare(recorded, reference_logits):
    """Answer samples by both and compare tokens, log-probabilities and all logits."""

    def compared(engine, tokenizer, samples, request, eos):
        model = copy.deepcopy(engine.model)
        prompts = PromptTokenizer(tokenizer)
        stops = prompts.stops(model.config.vocab_size, [eos])
        (method,) = request.methods
        answers = engine.answer(samples, request)
        number = 0
        for wordings, answer in zip(samples, answers, strict=True):
            pieces = prompts.pieces(wordings, request.template, request.few_shot)
            expected = reference.reference_prompts(
                pieces, method, request.layout, request.positions
            )
            for packed, got in zip(expected, answer[method.name], strict=True):
                reference_logits.clear()
                wanted = reference.reference_decode(
                    model, packed, method, stops, request.max_new_tokens
                )
                assert_same(got, wanted)
                assert_logits_close(recorded[number], reference_logits, len(packed))
                number += 1
        assert number == len(recorded)

    return compared


def assert_same(got, wanted):
    assert got.tokens == wanted.tokens
    assert got.finish_reason == wanted.finish_reason
    assert got.logprob == pytest.approx(wanted.logprob, abs=1e-4)


def assert_logits_close(steps, calls, num_streams):
    wanted = torch.stack(calls).unflatten(0, (-1, num_streams))
    torch.testing.assert_close(torch.stack(steps), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_fast_logits_and_tokens_equal_the_reference(
    make_engine, tokenizers, compare, family, bos, layout, positions, method
):
    request = make_request(method, layout=layout, positions=positions)
    compare(make_engine(family, bos), tokenizers[bos], SAMPLES, request, EOS)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_keys_that_may_not_move_give_the_reference_too(
    make_engine, tokenizers, compare, bos, layout, positions
):
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    engine = make_engine("llama", bos, rope_parameters=rope)
    request = make_request("flex_attention", layout=layout, positions=positions)
    compare(engine, tokenizers[bos], SAMPLES, request, EOS)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_a_template_without_instruction_and_examples_equals_the_reference(
    make_engine, tokenizers, compare, bos, layout, positions
):
    template = make_request().template.model_copy(update={"instruction": ""})
    request = make_request(
        "flex_attention", layout=layout, positions=positions, template=template, few_shot=()
    )
    compare(make_engine("llama", bos), tokenizers[bos], SAMPLES, request, EOS)


@pytest.mark.parametrize("rope_type", ["linear", "llama3", "yarn"])
def test_scaled_rotary_embeddings_equal_the_reference(
    make_engine, tokenizers, compare, rope_type
):
    rope = {
        "rope_type": rope_type,
        "factor": 4.0,
        "rope_theta": 1e4,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    engine = make_engine("llama", rope_parameters=rope, vocab_size=VOCABULARY)
    compare(engine, tokenizers[False], SAMPLES, make_request("flex_attention"), EOS)


@pytest.mark.model
@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_flex_attention_on_smollm2_equals_the_reference(
    smollm2_engine, smollm2, compare, layout, positions
):
    request = real_request("flex_attention", layout=layout, positions=positions)
    compare(smollm2_engine, smollm2.tokenizer, REAL_SAMPLES, request, EOS)


@pytest.mark.model
@pytest.mark.parametrize("method", [name for name in METHODS if name != "flex_attention"])
def test_plain_methods_on_smollm2_equal_the_reference(smollm2_engine, smollm2, compare, method):
    compare(smollm2_engine, smollm2.tokenizer, REAL_SAMPLES, real_request(method), EOS)


REAL_SAMPLES = (
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("Who wrote Hamlet?", "Hamlet was written by whom?"),
)


def real_request(method, **changes):
    return make_request(method, num_wordings=2, max_new_tokens=4, **changes)

"""SmolLM2-135M-Instruct in float32: the engine equals the reference and transformers.

Few paraphrases, samples and tokens: the reference recomputes everything for every token.
"""

from itertools import product

import pytest
import torch

from common.methods import METHODS
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import make_request
from worker.engine.attention.backend import FLEX_MIN_TOKENS
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.canary import check_engine
from worker.engine.engine import Engine
from worker.engine.stats import EngineStats

pytestmark = pytest.mark.model

SAMPLES = (
    ("What is the capital of France?", "Which city is France's capital?", "Capital of France?"),
    ("Who wrote Hamlet?", "Hamlet was written by whom?", "Which author wrote Hamlet?"),
)
COUNTRIES = (
    "France", "Italy", "Spain", "Japan", "Peru", "Chad", "Nepal", "Cuba", "Iran", "Kenya", "India",
    "Ghana", "Laos", "Togo", "Mali", "Haiti", "Qatar", "Oman", "Malta",
)  # fmt: skip
LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))
PLAIN = [name for name, method in METHODS.items() if method.sequences != "fused"]


def request_for(*methods, **changes):
    return make_request(*methods, **({"max_new_tokens": 4} | changes))


@pytest.fixture
def engine(smollm2, plain_copy):
    return Engine(plain_copy(smollm2.model), smollm2.tokenizer, SdpaBackend())


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_flex_attention_on_smollm2_equals_the_reference(
    engine, smollm2, compare, layout, positions
):
    request = request_for("flex_attention", layout=layout, positions=positions)
    compare(engine, smollm2.tokenizer, SAMPLES, request)


@pytest.mark.parametrize("method", PLAIN)
def test_plain_methods_on_smollm2_equal_the_reference(engine, smollm2, compare, method):
    compare(engine, smollm2.tokenizer, SAMPLES, request_for(method))


def test_smollm2_answers_alike_with_both_backends(engine, smollm2, plain_copy):
    samples = [[paraphrase.replace("France", c) for paraphrase in SAMPLES[0]] for c in COUNTRIES]
    other = Engine(plain_copy(smollm2.model), smollm2.tokenizer, FlexBackend())
    counts = EngineStats()
    request = request_for("per_prompt", "flex_attention", max_new_tokens=3)
    with_flex = answers_of(other, samples, request, counts)
    assert counts.prefill_tokens > FLEX_MIN_TOKENS
    assert tokens_of(with_flex) == tokens_of(answers_of(engine, samples, request))


def tokens_of(answers):
    return [[g.tokens for method in answer.values() for g in method] for answer in answers]


@pytest.mark.parametrize("method", ["origin", "flex_attention"])
def test_one_paraphrase_on_smollm2_equals_transformers_generate(engine, smollm2, method):
    request = request_for(method, num_paraphrases=1, max_new_tokens=9)
    for paraphrases in SAMPLES:
        (answer,) = answers_of(engine, [paraphrases[:1]], request)
        (got,) = answer[method]
        text = request.prompt_format.template.prompt(
            paraphrases[0], request.prompt_format.few_shot
        )
        wanted = generate(smollm2, text, 9)
        assert got.tokens == wanted[: len(got.tokens)]


def generate(loaded, text, num_tokens):
    encoded = loaded.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        output = loaded.model.generate(**encoded, max_new_tokens=num_tokens, do_sample=False)
    return tuple(output[0, encoded["input_ids"].shape[1] :].tolist())


def test_the_engine_s_logits_are_those_of_the_model_s_own_attention(smollm2, plain_copy):
    assert "6 prompts" in check_engine(
        Engine(plain_copy(smollm2.model), smollm2.tokenizer, CascadeBackend())
    )

"""Chat prompts: the engine equals the reference, and `generate` on the chat template's ids."""

import copy
from itertools import product
from typing import Any

import pytest
import torch

from common.prompts import PromptFormat
from common.run import DATE_STRING
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import FEW_SHOT, SAMPLES, TEMPLATE, make_request
from tests.worker.model.chat_templates import GEMMA, LLAMA, QWEN
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine

LAYOUTS = list(product(["concat", "shared"], ["sequential", "aligned"]))
CHAT = PromptFormat(TEMPLATE, FEW_SHOT[:1], "chat", date_string=DATE_STRING)
BRIEF = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
"""Few tokens of the tiny vocabulary: rounding grows with the distance that keys are moved by."""

QUESTIONS = (
    ("What is the capital of France?", "Which city is France's capital?", "Capital of France?"),
    ("Who wrote Hamlet?", "Hamlet was written by whom?", "Which author wrote Hamlet?"),
)


@pytest.fixture(params=[QWEN, LLAMA, GEMMA], ids=["qwen", "llama", "gemma"])
def template(request: Any) -> str:
    return request.param


@pytest.fixture
def talks(tokenizers):
    """The tiny tokenizer with a chat template, by whether it adds a BOS to plain text."""

    def with_template(bos: bool, template: str) -> Any:
        tokenizer = copy.deepcopy(tokenizers[bos])
        tokenizer.chat_template = template
        return tokenizer

    return with_template


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
@pytest.mark.parametrize(
    "method", ["flex_attention", "flex_attention_causal", "per_prompt", "avg"]
)
def test_chat_answers_equal_the_reference(
    make_engine, talks, compare, family, layout, positions, method
):
    tokenizer = talks(False, BRIEF)
    engine = Engine(
        make_engine(family, max_position_embeddings=999).model, tokenizer, SdpaBackend()
    )
    request = make_request(
        method, layout=layout, positions=positions, prompt_format=CHAT, max_new_tokens=3
    )
    compare(engine, tokenizer, SAMPLES[:1], request)


@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_every_template_equals_the_reference(
    make_engine, talks, compare, bos, layout, positions, template
):
    tokenizer = talks(bos, template)
    engine = Engine(
        make_engine("llama", bos, max_position_embeddings=999).model, tokenizer, SdpaBackend()
    )
    request = make_request(
        "flex_attention", layout=layout, positions=positions, prompt_format=CHAT, max_new_tokens=3
    )
    compare(engine, tokenizer, SAMPLES[:1], request)


def messages(question):
    turns = [
        {"role": role, "content": text}
        for example in CHAT.few_shot
        for role, text in zip(("user", "assistant"), example, strict=True)
    ]
    instruction = [{"role": "system", "content": TEMPLATE.instruction}]
    return [*instruction, *turns, {"role": "user", "content": question}]


def generated(model, tokenizer, question, new_tokens):
    """The tokens that `generate` adds to the ids of the chat template."""
    encoded = tokenizer.apply_chat_template(
        messages(question),
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
        date_string=DATE_STRING,
    )
    with torch.inference_mode():
        output = model.generate(**encoded, max_new_tokens=new_tokens, do_sample=False)
    return tuple(output[0, encoded["input_ids"].shape[1] :].tolist())


def test_each_paraphrase_of_a_tiny_chat_equals_generate(make_engine, talks, plain_copy, family):
    tokenizer = talks(True, LLAMA)
    engine = Engine(make_engine(family, True).model, tokenizer, SdpaBackend())
    model = plain_copy(engine.model)
    request = make_request("per_prompt", prompt_format=CHAT, stop=(), max_new_tokens=11)
    for paraphrases, answer in zip(SAMPLES, answers_of(engine, SAMPLES, request), strict=True):
        for paraphrase, got in zip(paraphrases, answer["per_prompt"], strict=True):
            assert got.tokens == generated(model, tokenizer, paraphrase, 11)


@pytest.mark.model
def test_a_chat_with_smollm2_equals_generate_token_by_token(smollm2, plain_copy):
    engine = Engine(plain_copy(smollm2.model), smollm2.tokenizer, SdpaBackend())
    model = plain_copy(smollm2.model)
    request = make_request(
        "per_prompt", "flex_attention", prompt_format=CHAT, stop=(), max_new_tokens=24
    )
    reasons = set()
    for paraphrases, answer in zip(QUESTIONS, answers_of(engine, QUESTIONS, request), strict=True):
        for paraphrase, got in zip(paraphrases, answer["per_prompt"], strict=True):
            assert got.tokens == generated(model, smollm2.tokenizer, paraphrase, 24)
            reasons.add(got.finish_reason)
    assert "eos" in reasons


@pytest.mark.model
@pytest.mark.parametrize(("layout", "positions"), LAYOUTS)
def test_flex_attention_in_a_chat_with_smollm2_equals_the_reference(
    smollm2, plain_copy, compare, layout, positions
):
    engine = Engine(plain_copy(smollm2.model), smollm2.tokenizer, SdpaBackend())
    request = make_request(
        "flex_attention", layout=layout, positions=positions, prompt_format=CHAT, max_new_tokens=4
    )
    compare(engine, smollm2.tokenizer, QUESTIONS, request)

"""Sizes are read from what a model computes, whatever its config calls them."""

import pytest
import torch

from common.errors import StopRun
from common.layout import pack_plain
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    EOS,
    MANY,
    make_config,
    make_model,
    make_request,
    make_tokenizer,
)
from tests.worker.engine.other_families import LATENT, NO_KV_HEADS, build, build_nested
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine
from worker.model import geometry
from worker.model.geometry import geometry_of
from worker.model.tokenizer import PromptTokenizer

FAMILIES = {
    "gpt2": NO_KV_HEADS,
    "opt": NO_KV_HEADS | {"ffn_dim": 64, "word_embed_proj_dim": 64},
    "gpt_neox": NO_KV_HEADS,
    "deepseek_v3": LATENT,
    "gemma3": {"head_dim": 16},
}


def make(name):
    build_it = build_nested if name == "gemma3" else build
    return build_it(name, **FAMILIES[name])


@pytest.mark.parametrize("backend", [SdpaBackend, CascadeBackend])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_answers_equal_generate(plain_copy, name, bos, backend):
    model, tokenizer = make(name), make_tokenizer(bos)
    twin = plain_copy(model)
    request = make_request("per_prompt", max_new_tokens=9)
    answers = answers_of(Engine(model, tokenizer, backend()), MANY, request)
    different = set()
    for paraphrases, answer in zip(MANY, answers, strict=True):
        for paraphrase, got in zip(paraphrases, answer["per_prompt"], strict=True):
            pieces = PromptTokenizer(tokenizer).cut(request.prompt_format, [paraphrase])
            wanted = generate(twin, pack_plain(pieces, 0).tokens, 9)
            assert got.tokens == wanted[: len(got.tokens)]
            different.add(got.tokens)
    assert len(different) > 5


def generate(model, tokens, new_tokens):
    ids = torch.tensor([tokens])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False,
        eos_token_id=EOS, pad_token_id=0,
    )  # fmt: skip
    return tuple(output[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("method", ["flex_attention", "avg", "flex_attention_causal"])
@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neox", "deepseek_v3"])
def test_packed_prompts_equal_the_reference(compare, name, method):
    tokenizer = make_tokenizer(True)
    engine = Engine(make(name), tokenizer, SdpaBackend())
    compare(engine, tokenizer, MANY[:2], make_request(method))


@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_keys_of_learned_positions_are_not_moved(name):
    assert geometry_of(make(name)).movable is False


@pytest.mark.parametrize(
    ("name", "heads", "kv_heads", "dims"),
    [
        ("gpt2", 4, 4, (16, 16)),
        ("opt", 4, 4, (16, 16)),
        ("gpt_neox", 4, 4, (16, 16)),
        ("deepseek_v3", 4, 4, (16, 8)),
        ("gemma3", 4, 2, (16, 16)),
    ],
)
def test_heads_and_widths_are_those_of_the_first_keys(name, heads, kv_heads, dims):
    sizes = geometry_of(make(name))
    assert (sizes.layers, sizes.heads, sizes.kv_heads) == (3, heads, kv_heads)
    assert (sizes.key_dim, sizes.value_dim) == dims
    assert (sizes.vocabulary, sizes.max_positions) == (307, 499)


def test_a_model_is_probed_once(monkeypatch):
    model = make_model(make_config("llama"))
    first = geometry_of(model)
    monkeypatch.setattr(geometry, "_read", None)
    assert geometry_of(model) is first


@pytest.mark.parametrize("eos", [400, -1, [400, EOS], 307])
def test_an_eos_id_outside_the_vocabulary_ends_no_answer_and_is_said(caplog, eos):
    model = make_model(make_config("llama", eos_token_id=eos))
    tokenizer = make_tokenizer(False)
    usual = Engine(make_model(make_config("llama")), tokenizer, SdpaBackend())
    request = make_request("origin", max_new_tokens=9)
    engine = Engine(model, tokenizer, SdpaBackend())
    assert answers_of(engine, MANY, request) == answers_of(usual, MANY, request)
    outside = next(i for i in (eos if isinstance(eos, list) else [eos]) if i != EOS)
    assert f"eos_token_id {outside} is outside the model's vocabulary of 307" in caplog.text


def test_heads_that_differ_between_layers_are_refused_by_layer():
    model = build("gemma4_unified_text", head_dim=16)
    with pytest.raises(StopRun, match="layer 2 has heads of another number or width"):
        geometry_of(model)


def test_a_model_that_fails_in_its_own_forward_is_refused_with_what_it_said(monkeypatch):
    model = make_model(make_config("llama"))

    def forward(*args, **kwargs):
        raise ZeroDivisionError("no experts\nat all")

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(StopRun, match=r"7 tokens fails with ZeroDivisionError: no experts$"):
        geometry_of(model)


def test_memory_that_runs_out_is_not_taken_for_a_fault_of_the_model(monkeypatch):
    model = make_model(make_config("llama"))

    def forward(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(torch.OutOfMemoryError):
        geometry_of(model)


def test_a_model_that_went_back_to_its_own_attention_is_taken_again():
    model, tokenizer, request = make("gpt2"), make_tokenizer(False), make_request("origin")
    before = answers_of(Engine(model, tokenizer, SdpaBackend()), MANY, request)
    model.set_attn_implementation("sdpa")
    assert answers_of(Engine(model, tokenizer, SdpaBackend()), MANY, request) == before

"""Checkpoints: damage is named with its file, and no tensor is ever made up."""

import re

import pytest
import torch

from common.errors import StopRun
from tests.worker.checkpoints import (
    POINTER,
    WEIGHTS,
    configured,
    cut,
    with_tensors,
    written,
)

QUANTIZED = "asks for quantization by {}: install what that needs on every worker, or give an"


def without(*parts):
    return with_tensors(lambda t: {k: v for k, v in t.items() if not any(p in k for p in parts)})


def renamed(old, new):
    return with_tensors(lambda t: {re.sub(old, new, k): v for k, v in t.items()})


DAMAGES = {
    "weights cut off": (cut(WEIGHTS, 9000), rf"m/{WEIGHTS} \(9,000 bytes\) is damaged or cut off"),
    "weights cut in the header": (cut(WEIGHTS, 99), rf"m/{WEIGHTS} \(99 bytes\) is damaged"),
    "no weights": (cut(WEIGHTS, 0), rf"m/{WEIGHTS} \(0 bytes\) is damaged"),
    "pointer for weights": (written(WEIGHTS, POINTER), f"{WEIGHTS} is a Git LFS pointer"),
    "pointer for a tokenizer": (
        written("tokenizer.json", POINTER), r"tokenizer\.json is a Git LFS pointer",
    ),
    "pointer for a vocabulary": (
        written("vocab.txt", POINTER), r"vocab\.txt is a Git LFS pointer",
    ),
    "half a config": (cut("config.json", 50), r"config\.json \(50 bytes\) is damaged"),
    "half a tokenizer": (cut("tokenizer.json", 500), r"tokenizer\.json \(500 bytes\) is damaged"),
    "half a generation config": (
        cut("generation_config.json", 20), r"generation_config\.json \(20 bytes\) is damaged",
    ),
    "bitsandbytes": (
        configured(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        f"bitsandbytes.*{QUANTIZED.format('bitsandbytes')}",
    ),
    "gptq": (
        configured(quantization_config={"quant_method": "gptq", "bits": 4}),
        QUANTIZED.format("gptq"),
    ),
    "awq": (
        configured(quantization_config={"quant_method": "awq", "bits": 4}),
        QUANTIZED.format("awq"),
    ),
    "unknown architecture": (configured(model_type="nobody_knows"), "model type `nobody_knows`"),
    "heads that do not divide": (
        configured(num_attention_heads=7), "not a multiple of the number of attention heads",
    ),
    "code of its own": (
        configured(model_type="own", auto_map={"AutoConfig": "a.B"}),
        "needs code of its own repository, which is never run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_verdict_that_names_the_model_the_file_and_the_reason(load, damage):
    change, sentence = DAMAGES[damage]
    with pytest.raises(StopRun, match=f"(?s)^model m: .*{sentence}") as refused:
        load(change)
    assert "\n" not in str(refused.value)


INCOMPLETE = {
    "no head": (without("lm_head"), r"lacks 1 tensor of .*, lm_head\.weight, .*random"),
    "a layer less": (without("layers.2."), r"lacks 9 tensors .*layers\.2\.\S+ and 5 more"),
    "names with a prefix": (
        renamed("^", "module."), r"lacks 30 tensors .*has module\.lm_head\.weight,.*instead",
    ),
    "saved without its head": (
        with_tensors(lambda t: {k.removeprefix("model."): v for k, v in t.items() if k[0] == "m"}),
        r"lacks 1 tensor of .*, lm_head\.weight",
    ),
    "another width": (
        configured(intermediate_size=59),
        r"9 tensors of another shape .*down_proj\.weight: \[36, 53\] in the file, \[36, 59\] by",
    ),
    "scales that nobody reads": (
        with_tensors(lambda t: t | {"model.layers.0.mlp.up_proj.weight_scale_inv": torch.ones(1)}),
        r"quantised weights and config\.json says nothing of it: 1 tensor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INCOMPLETE)
def test_a_checkpoint_that_lacks_tensors_is_refused_and_they_are_named(load, case):
    change, sentence = INCOMPLETE[case]
    with pytest.raises(StopRun, match=f"(?s)^model m: .*{sentence}"):
        load(change)


@pytest.mark.parametrize("kept", ["lm_head", "embed_tokens"])
def test_a_tied_tensor_that_is_there_once_is_whole(load, kept):
    other = {"lm_head", "embed_tokens"} - {kept}

    def change(folder):
        configured(tie_word_embeddings=True)(folder)
        without(*other)(folder)

    model = load(change).model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_tied_tensors_that_are_both_missing_are_refused(load):
    def change(folder):
        configured(tie_word_embeddings=True)(folder)
        without("lm_head", "embed_tokens")(folder)

    with pytest.raises(StopRun, match="lacks"):
        load(change)


def test_tensors_that_have_no_place_are_a_note(load):
    notes = load(configured(num_hidden_layers=2)).notes
    assert notes["tensors"].value == "9 unread"
    assert "has no place for model.layers.2.input_layernorm.weight" in notes["tensors"].reason


def test_a_whole_checkpoint_has_nothing_noted(load):
    assert load(lambda folder: None).notes == {}

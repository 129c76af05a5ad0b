"""Prompts to tokens and back, with a tokenizer that adds a BOS and one that does not."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from common.errors import StopRun
from common.layout import pack_fused, pack_plain
from tests.worker.engine.answers import answers_of
from tests.worker.engine.families import (
    BOS,
    EOS,
    FEW_SHOT,
    FORMAT,
    MANY,
    PAD,
    SAMPLES,
    TEMPLATE,
    make_config,
    make_model,
    make_request,
    make_tokenizer,
)
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.engine import Engine
from worker.model.tokenizer import PromptTokenizer


def make_tokenizer_that_adds(single):
    """The tiny tokenizer; `single` says what it puts around a text."""
    tokenizer = make_tokenizer(bos=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<pad>", PAD), ("<s>", BOS), ("</s>", EOS)]
    )
    return tokenizer


@pytest.fixture(params=["normalizer", "always", "first"])
def puts_space_first(request):
    """BPE over words that begin with `▁`, one of which is put before every text, as Llama 2's."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if request.param == "normalizer":
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=request.param)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=600, limit_alphabet=60, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(TEMPLATE.prompt(SAMPLES[0][0], FEW_SHOT).split(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture
def prompts(tokenizers, bos):
    return PromptTokenizer(tokenizers[bos])


def test_bos_is_taken_where_the_tokenizer_adds_one(prompts, bos):
    assert prompts.bos == ((BOS,) if bos else ())


@pytest.mark.parametrize(
    ("single", "wanted"),
    [("<s> $A </s>", (BOS,)), ("$A </s>", ()), ("</s> $A", (EOS,)), ("<pad> <s> $A", (PAD, BOS))],
)
def test_every_token_put_before_a_text_is_kept_and_none_behind(single, wanted):
    assert PromptTokenizer(make_tokenizer_that_adds(single)).bos == wanted


@pytest.mark.parametrize("single", ["<pad> <s> $A", "</s> $A", "<s> $A </s>", "$A </s>"])
@pytest.mark.parametrize("layout", ["concat", "shared"])
def test_added_tokens_stand_once_at_the_start_of_a_packed_prompt(single, layout):
    tokenizer = make_tokenizer_that_adds(single)
    prompts = PromptTokenizer(tokenizer)
    packed = pack_fused(prompts.cut(FORMAT, SAMPLES[0]), layout, "sequential")
    assert packed.groups[0][: len(prompts.bos)] == prompts.bos
    assert {PAD, BOS, EOS}.isdisjoint(packed.tokens[len(prompts.bos) :])


def test_answers_follow_all_tokens_put_before_a_text():
    tokenizer = make_tokenizer_that_adds("<pad> <s> $A </s>")
    model, request = make_model(make_config("llama")), make_request("per_prompt")
    twin = copy.deepcopy(model)
    answers = answers_of(Engine(model, tokenizer, SdpaBackend()), MANY, request)
    for paraphrases, answer in zip(MANY, answers, strict=True):
        for paraphrase, got in zip(paraphrases, answer["per_prompt"], strict=True):
            *ids, end = tokenizer(TEMPLATE.prompt(paraphrase, FEW_SHOT))["input_ids"]
            assert (ids[:2], end) == ([PAD, BOS], EOS)
            prompt = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
            wanted = twin.generate(**prompt, max_new_tokens=5, do_sample=False)
            assert got.tokens == tuple(wanted[0, len(ids) :].tolist())[: len(got.tokens)]


def test_a_tokenizer_that_puts_special_tokens_inside_a_text_is_refused():
    def tokenizer(texts, add_special_tokens=True):
        inside = [BOS] if add_special_tokens else []
        return {"input_ids": [[5, *inside, 6] for _ in texts]}

    with pytest.raises(
        StopRun, match=r"makes \[5, 6\] of 'What is 7\?', and \[5, 1, 6\] with its"
    ):
        PromptTokenizer(tokenizer)


def test_prompts_hold_the_bos_once_at_their_start(prompts, bos):
    for prompt in prompts.cut(FORMAT, SAMPLES[0]).prompts:
        assert [i for i, token in enumerate(prompt) if token == BOS] == [0] * bos


def test_parts_are_the_templates_texts(prompts):
    cut = prompts.cut(FORMAT, SAMPLES[0])
    assert TEMPLATE.prefix(FEW_SHOT).startswith(prompts.text(cut.prefix).removesuffix("Q:"))
    assert prompts.text(cut.cue).endswith("A:")
    for paraphrase, prompt in zip(SAMPLES[0], cut.prompts, strict=True):
        assert prompts.text(prompt) == TEMPLATE.prompt(paraphrase, FEW_SHOT)


def test_a_plain_prompt_is_what_the_tokenizer_makes_of_the_text(prompts, tokenizers, bos):
    cut = prompts.cut(FORMAT, SAMPLES[0])
    for i, paraphrase in enumerate(SAMPLES[0]):
        ids = tokenizers[bos](TEMPLATE.prompt(paraphrase, FEW_SHOT))["input_ids"]
        assert list(cut.prompts[i]) == list(pack_plain(cut, i).tokens) == ids


def test_a_tokenizer_that_puts_a_space_first_puts_none_inside_a_prompt(puts_space_first):
    cut = PromptTokenizer(puts_space_first).cut(FORMAT, SAMPLES[0])
    for paraphrase, prompt in zip(SAMPLES[0], cut.prompts, strict=True):
        text = TEMPLATE.prompt(paraphrase, FEW_SHOT)
        assert list(prompt) == puts_space_first(text)["input_ids"]


def test_the_cut_of_a_sample_does_not_depend_on_the_samples_beside_it(prompts):
    together = prompts.cut_all(FORMAT, MANY)
    assert together == [prompts.cut(FORMAT, sample) for sample in MANY]


def test_samples_whose_paraphrases_begin_alike_keep_that_beginning_in_their_segments(prompts):
    alike = ("who is it, Ann?", "who is it, or not?")
    other = prompts.cut(FORMAT, ("what is 7?", "name the 7"))
    cut = prompts.cut(FORMAT, alike)
    assert cut.prefix == other.prefix == prompts.frame(FORMAT).head
    assert all(prompts.text(segment).startswith(" who is it,") for segment in cut.segments)


def test_a_paraphrase_that_melts_into_the_prefix_shortens_it(prompts):
    """Behind a space that is followed by another one, `Q:` is tokenized otherwise."""
    frame = prompts.frame(FORMAT)
    for text in ("\n who?", "", " who?"):
        cut = prompts.cut(FORMAT, (text, "who?"))
        assert frame.head[: len(cut.prefix)] == cut.prefix


def test_text_leaves_out_special_tokens(prompts, tokenizers):
    ids = tokenizers[False]("Rome")["input_ids"]
    assert prompts.text([BOS, *ids, EOS]) == "Rome"

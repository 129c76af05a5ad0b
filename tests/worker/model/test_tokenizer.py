"""Text to pieces and back, with a tokenizer that adds a BOS and one that does not."""

import copy

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from common.errors import StopRun
from common.layout import pack_fused, pack_plain
from tests.worker.engine.families import (
    BOS,
    EOS,
    FEW_SHOT,
    MANY,
    PAD,
    SAMPLES,
    TEMPLATE,
    VOCABULARY,
    make_config,
    make_model,
    make_request,
    make_tokenizer,
)
from worker.engine.attention import SdpaBackend
from worker.engine.engine import Engine
from worker.model.tokenizer import EOS as EOS_STATE
from worker.model.tokenizer import NEWLINE, RUNNING, PromptTokenizer, common_prefix


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
    packed = pack_fused(prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT), layout, "sequential")
    assert packed.groups[0][: len(prompts.bos)] == prompts.bos
    assert {PAD, BOS, EOS}.isdisjoint(packed.tokens[len(prompts.bos) :])


def test_answers_follow_all_tokens_put_before_a_text():
    tokenizer = make_tokenizer_that_adds("<pad> <s> $A </s>")
    model, request = make_model(make_config("llama")), make_request("per_prompt")
    twin = copy.deepcopy(model)
    answers = Engine(model, tokenizer, SdpaBackend()).answer(MANY, request)
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


def test_pieces_of_a_tokenizer_that_puts_a_space_first_join_to_the_plain_prompt(
    puts_space_first,
):
    prompts = PromptTokenizer(puts_space_first)
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    for i, prompt in enumerate(pieces.prompts):
        assert pieces.prefix + pieces.segments[i] + pieces.cue == prompt


def test_without_a_prefix_a_segment_starts_the_prompt_and_keeps_its_space(puts_space_first):
    prompts = PromptTokenizer(puts_space_first)
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE.model_copy(update={"instruction": ""}), ())
    for segment, prompt in zip(pieces.segments, pieces.prompts, strict=True):
        assert segment + pieces.cue == prompt


def test_no_piece_but_bos_holds_a_bos(prompts):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    for piece in (pieces.prefix, pieces.cue, *pieces.segments, *pieces.prompts):
        assert BOS not in piece


def test_pieces_are_the_templates_texts(prompts):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    assert prompts.text(pieces.prefix) == TEMPLATE.prefix(FEW_SHOT)
    assert prompts.text(pieces.cue) == "A:"
    for paraphrase, segment, prompt in zip(
        SAMPLES[0], pieces.segments, pieces.prompts, strict=True
    ):
        assert prompts.text(segment) == TEMPLATE.segment(paraphrase)
        assert prompts.text(prompt) == TEMPLATE.prompt(paraphrase, FEW_SHOT)


def test_a_plain_prompt_is_what_the_tokenizer_makes_of_the_text(prompts, tokenizers, bos):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    for i, paraphrase in enumerate(SAMPLES[0]):
        ids = tokenizers[bos](TEMPLATE.prompt(paraphrase, FEW_SHOT))["input_ids"]
        assert list(pack_plain(pieces, i).tokens) == ids


def test_text_leaves_out_special_tokens(prompts, tokenizers):
    ids = tokenizers[False]("Rome")["input_ids"]
    assert prompts.text([BOS, *ids, EOS]) == "Rome"


def test_stops_are_eos_and_every_token_that_holds_a_newline(prompts, tokenizers, bos):
    stops = prompts.stops(VOCABULARY, [EOS, 5])
    assert len(stops) == VOCABULARY
    assert (stops == EOS_STATE).nonzero()[:, 0].tolist() == [EOS, 5]
    texts = [tokenizers[bos].decode([i]) for i in range(len(tokenizers[bos]))]
    newlines = [i for i, text in enumerate(texts) if "\n" in text]
    assert (stops == NEWLINE).nonzero()[:, 0].tolist() == newlines
    assert len(newlines) > 1


def test_ids_that_no_tokenizer_has_do_not_stop(prompts, tokenizers, bos):
    size = len(tokenizers[bos])
    assert size < VOCABULARY
    assert set(prompts.stops(VOCABULARY, [EOS])[size:].tolist()) == {RUNNING}


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ((), (1,), ()),
        ((1, 2), (1, 2), (1, 2)),
        ((1, 2), (1, 2, 3), (1, 2)),
        ((1, 2, 3), (1, 2), (1, 2)),
        ((4, 2), (1, 2), ()),
    ],
)
def test_common_prefix_is_what_both_begin_with(a, b, wanted):
    assert common_prefix(a, b) == wanted


def test_the_tiny_tokenizer_joins_the_prefixs_end_otherwise_than_inside_a_prompt(prompts):
    """So that the tests of the engine meet a prefix that is no exact prefix of the prompts."""
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    common = common_prefix(pieces.prefix, pieces.prompts[0])
    assert 0 < len(common) < len(pieces.prefix)

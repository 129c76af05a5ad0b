"""Text to pieces and back, with a tokenizer that adds a BOS and one that does not."""

import pytest
from families import BOS, EOS, FEW_SHOT, SAMPLES, TEMPLATE, VOCABULARY, make_tokenizer
from tokenizers import processors

from common.layout import pack_plain
from worker.engine.decode import EOS as EOS_STATE
from worker.engine.decode import NEWLINE, RUNNING
from worker.engine.tokenise import PromptTokenizer, common_prefix


@pytest.fixture
def prompts(tokenizers, bos):
    return PromptTokenizer(tokenizers[bos])


def test_bos_is_taken_where_the_tokenizer_adds_one(prompts, bos):
    assert prompts.bos == ((BOS,) if bos else ())


@pytest.mark.parametrize(
    ("single", "wanted"),
    [("<s> $A </s>", (BOS,)), ("$A </s>", ()), ("</s> $A", ()), ("<s> <s> $A", (BOS,))],
)
def test_only_a_leading_bos_counts(single, wanted):
    tokenizer = make_tokenizer(bos=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    assert PromptTokenizer(tokenizer).bos == wanted


def test_no_piece_but_bos_holds_a_bos(prompts):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    for piece in (pieces.prefix, pieces.cue, *pieces.segments, *pieces.prompts):
        assert BOS not in piece


def test_pieces_are_the_templates_texts(prompts):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    assert prompts.text(pieces.prefix) == TEMPLATE.prefix(FEW_SHOT)
    assert prompts.text(pieces.cue) == "A:"
    for wording, segment, prompt in zip(SAMPLES[0], pieces.segments, pieces.prompts, strict=True):
        assert prompts.text(segment) == TEMPLATE.segment(wording)
        assert prompts.text(prompt) == TEMPLATE.prompt(wording, FEW_SHOT)


def test_a_plain_prompt_is_what_the_tokenizer_makes_of_the_text(prompts, tokenizers, bos):
    pieces = prompts.pieces(SAMPLES[0], TEMPLATE, FEW_SHOT)
    for i, wording in enumerate(SAMPLES[0]):
        ids = tokenizers[bos](TEMPLATE.prompt(wording, FEW_SHOT))["input_ids"]
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

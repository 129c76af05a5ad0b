"""The bytes of tokens: those that the tokenizer's own decoder gives in the middle of a text."""

import doctest

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.worker.engine.families import make_tokenizer
from worker.model import reasoning, token_bytes
from worker.model.reasoning import ReasoningMarks, find_marks
from worker.model.token_bytes import TokenBytes, by_decoder

TEXTS = ["it is né in 日本, or not?\n\nQ: who wrote it", "the one\twho  wrote <it>"]


def byte_level():
    return make_tokenizer(bos=False)


def sentence_piece():
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=320, limit_alphabet=20, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=60, unk_token="<unk>", special_tokens=["<unk>"])
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=70, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(params=[byte_level, sentence_piece, unigram, word_piece])
def tokenizer(request):
    tokenizer = request.param()
    tokenizer.add_tokens(["<think>"])
    return tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_of_tokens_join_to_the_decoded_text(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) > 4
    known = TokenBytes(tokenizer).by_id
    joined = b"".join(known[i] for i in ids).decode()
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert joined.lstrip(" ") == decoded.lstrip(" ")


def test_an_added_token_is_its_content(tokenizer):
    known = TokenBytes(tokenizer).by_id
    assert known[tokenizer.convert_tokens_to_ids("<think>")] == b"<think>"
    assert len(known) == len(tokenizer)


def test_half_a_character_is_its_bytes():
    known = TokenBytes(byte_level()).by_id
    ids = byte_level()("日", add_special_tokens=False)["input_ids"]
    assert [known[i] for i in ids] == [b"\xe6", b"\x97", b"\xa5"]


def test_without_a_decoder_tokens_are_words():
    assert by_decoder(None)("Rome") == b" Rome"
    assert by_decoder({"type": "BPEDecoder", "suffix": "</w>"})("Rome</w>") == b"Rome "


def test_marks_are_found_in_the_template_or_the_vocabulary():
    tokenizer = byte_level()
    assert find_marks(tokenizer, "{{ messages }}<think>") is None
    spelled = find_marks(tokenizer, "<think>{{ messages }}</think>")
    assert (spelled.start, spelled.end) == ("<think>", "</think>")
    assert tokenizer.decode(spelled.end_ids) == "</think>"
    tokenizer.add_tokens(["[THINK]", "[/THINK]"])
    ids = tuple(tokenizer.convert_tokens_to_ids(["[/THINK]"]))
    assert find_marks(tokenizer, "") == ReasoningMarks("[THINK]", "[/THINK]", ids)


def test_a_prompt_leaves_reasoning_open_only_at_its_end():
    marks = ReasoningMarks("<think>", "</think>", (1,))
    assert marks.is_open("who?<think>\n")
    assert not marks.is_open("what is <think>?")
    assert not marks.is_open("who?<think>\n\n</think>\n\n")


@pytest.mark.parametrize("module", [token_bytes, reasoning])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0

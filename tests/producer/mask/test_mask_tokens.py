"""Readable tokens: no character of a token is invisible, and none is invented."""

import sys

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from common.errors import StopRun, UsageError
from common.models import find_model
from common.prompts import PromptFormat, Template
from producer.mask.compose import label
from producer.mask.tokens import tokenize
from worker.model.loader import load_model
from worker.model.model_place import load_tokenizer
from worker.model.tokenizer import PromptTokenizer


@pytest.fixture
def tiny(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def labels_of(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    literal = PromptTokenizer(tokenizer).literal
    return [label(literal(token)) for token in ids]


def sentencepiece():
    """A vocabulary with ▁ for a space and bytes for what it lacks, as Llama 2 has."""
    words = ["<unk>", "<s>", "▁who", "▁", "is", "it", *(f"<0x{n:02X}>" for n in range(256))]
    vocabulary = {word: n for n, word in enumerate(words)}
    merges = []
    for word in ("is", "it", "▁who"):
        for end in range(1, len(word)):
            vocabulary.setdefault(word[:end], len(vocabulary))
            vocabulary.setdefault(word[end], len(vocabulary))
            vocabulary.setdefault(word[: end + 1], len(vocabulary))
            merges.append((word[:end], word[end]))
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>")


def test_special_tokens_stand_by_name(tiny):
    assert labels_of(tiny, "<s>A:</s>") == ["<s>", "A", ":", "</s>"]


def test_spaces_newlines_and_tabs_are_visible(tiny):
    assert "".join(labels_of(tiny, "Q: what is\n\tit?")) == "Q:·what·is⏎⇥it?"


def test_bytes_that_are_no_character_alone_are_escapes(tiny):
    assert labels_of(tiny, "日é") == ["\\xe6", "\\x97", "\\xa5", "\\xc3", "\\xa9"]


def test_a_leading_space_stands_before_escaped_bytes_too(tiny):
    tiny.add_tokens(["日"])
    assert labels_of(tiny, " 日") == ["·", "日"]
    assert "".join(labels_of(tiny, " ü")) == "·\\xc3\\xbc"


def test_sentencepiece_keeps_the_space_its_decoder_drops():
    assert labels_of(sentencepiece(), "who is") == ["·who", "·", "is"]
    assert sentencepiece().decode([2]) == "who"


def test_sentencepiece_bytes_stand_as_its_vocabulary_writes_them():
    assert labels_of(sentencepiece(), "日")[-3:] == ["<0xE6>", "<0x97>", "<0xA5>"]
    assert labels_of(sentencepiece(), "\n")[-1] == "⏎"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("   ", "···"),
        ("\u0301a", "\\u0301a"),
        ("a\u0301", "a\u0301"),
        ("\u202e", "\\u202e"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\r\n", "\\r⏎"),
        ("\u00a0", "\\xa0"),
    ],
)
def test_a_label_holds_nothing_that_moves_the_cursor(text, shown):
    assert label(text) == shown


def test_the_cut_is_the_one_the_engine_reads(tiny_model, tiny):
    prompt_format = PromptFormat(Template(instruction="Say."), (("a?", "b"),))
    paraphrases = ("who?", "what is?")
    cut, text_of = tokenize(find_model(str(tiny_model)), prompt_format, paraphrases)
    assert cut == PromptTokenizer(tiny).cut(prompt_format, paraphrases)
    wanted = prompt_format.template.prompt("what is?", prompt_format.few_shot)
    assert "".join(map(text_of, cut.prompts[1])) == wanted


def test_the_tokenizer_alone_is_that_of_the_model_and_needs_no_weights(tiny_model, tmp_path):
    folder = tmp_path / "without-weights"
    folder.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix == ".json":
            (folder / file.name).write_bytes(file.read_bytes())
    alone = load_tokenizer(find_model(str(folder)))
    loaded = load_model(find_model(str(tiny_model)), "float32", "cpu").tokenizer
    assert alone.get_vocab() == loaded.get_vocab()
    with pytest.raises(StopRun, match="without-weights cannot be loaded"):
        load_model(find_model(str(folder)), "float32", "cpu")


def test_a_folder_without_a_tokenizer_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StopRun, match=f"{tmp_path} cannot be loaded"):
        load_tokenizer(find_model(str(tmp_path)))


@pytest.mark.parametrize("name", ["jinja2", "transformers"])
def test_without_transformers_the_person_is_told_what_to_install(name, tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"{name} cannot be .* 'self-ensemble\[tokenizer\]'"):
        tokenize(find_model(str(tiny_model)), PromptFormat(Template(instruction="")), ("who?",))

"""The cut over texts that tokenizers melt with what stands beside them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from common.models import find_model
from common.prompts import PromptFormat, Template
from tests.worker.engine.families import BOS, FEW_SHOT, FORMAT, SAMPLES, TEMPLATE, make_tokenizer
from worker.model.model_place import load_tokenizer
from worker.model.tokenizer import PromptTokenizer

SPECIAL = ["<unk>", "<s>", "</s>", "[CLS]", "[SEP]"]
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CORPUS = [TEMPLATE.prompt(w, FEW_SHOT) for s in SAMPLES for w in s]

FORMATS = {
    "plain": FORMAT,
    "chat": PromptFormat(TEMPLATE, FEW_SHOT, "chat"),
    "bare": PromptFormat(Template(instruction="", question="{question}", cue="")),
    "melting": PromptFormat(Template(instruction="", question="<{question}", cue=">\n")),
}


def trained(tokenizer: Tokenizer, trainer: Any, bos: bool, **options: Any) -> Any:
    tokenizer.train_from_iterator([word for text in CORPUS for word in text.split(" ")], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **options
    )
    fast.chat_template = CHAT
    return fast


def byte_level_bpe(bos: bool) -> Any:
    tokenizer = make_tokenizer(bos)
    tokenizer.chat_template = CHAT
    return tokenizer


def metaspace_bpe(bos: bool) -> Any:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    alphabet = [*SPECIAL, *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=alphabet, show_progress=False)
    return trained(tokenizer, trainer, bos)


def unigram(bos: bool) -> Any:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    return trained(tokenizer, trainer, bos)


def word_piece(bos: bool) -> Any:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=SPECIAL, show_progress=False
    )
    return trained(tokenizer, trainer, bos)


def smollm2(bos: bool) -> Any:
    tokenizer = load_tokenizer(find_model("smollm2_135m_it"))
    if bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
        )
    return tokenizer


MAKERS = [
    byte_level_bpe,
    metaspace_bpe,
    unigram,
    word_piece,
    pytest.param(smollm2, marks=pytest.mark.model),
]

awkward = st.text(
    st.one_of(
        st.sampled_from(list(" \n\t\r:?.QA\"'\u0301\u200d\u200b\u3000\ufeff🙂👩‍🚀éﬁ日")),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)
added = st.sampled_from(["</s>", "<s>", "<|im_end|>", "[MASK]", "\nA:", "Q: ", "<|user|>\n", ""])
texts = st.lists(st.tuples(added, awkward, added).map("".join), min_size=1, max_size=4)


@pytest.fixture(scope="module", params=MAKERS)
def maker(request: Any) -> Any:
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["no_bos", "bos"])
def tokenizer(request: Any, maker: Any) -> Any:
    return maker(request.param)


@pytest.fixture(scope="module")
def prompts(tokenizer: Any) -> PromptTokenizer:
    return PromptTokenizer(tokenizer)


@pytest.mark.parametrize("style", FORMATS)
@given(paraphrases=texts)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_cutting_and_joining_gives_the_tokens_of_the_whole_prompt(
    tokenizer: Any, prompts: PromptTokenizer, style: str, paraphrases: list[str]
) -> None:
    prompt_format = FORMATS[style]
    written = prompts.texts(prompt_format, paraphrases)
    by_itself = style != "chat"
    wanted = [
        tuple(tokenizer(text, add_special_tokens=by_itself)["input_ids"]) for text in written
    ]
    cut = prompts.cut(prompt_format, paraphrases)
    assert cut.prompts == tuple(wanted)
    frame = prompts.frame(prompt_format)
    assert frame.head[: len(cut.prefix)] == cut.prefix
    assert frame.tail[len(frame.tail) - len(cut.cue) :] == cut.cue


@given(first=texts, second=texts)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_sample_is_cut_alike_whatever_samples_stand_beside_it(
    prompts: PromptTokenizer, first: list[str], second: list[str]
) -> None:
    alone = [prompts.cut(FORMAT, sample) for sample in (first, second)]
    assert prompts.cut_all(FORMAT, [first, second]) == alone


def test_most_prompts_share_the_whole_head(prompts: PromptTokenizer) -> None:
    """So that one prefill of it serves them all; a control of the tests above."""
    frame = prompts.frame(FORMAT)
    assert len(frame.head) > 10
    assert all(prompts.cut(FORMAT, sample).prefix == frame.head for sample in SAMPLES)


def test_the_bos_of_plain_prompts_is_the_tokenizers_own(tokenizer: Any) -> None:
    prompts = PromptTokenizer(tokenizer)
    assert prompts.frame(FORMAT).bos == prompts.bos
    assert tokenizer.eos_token_id != BOS

"""Tiny random models of four families, two tiny tokenizers, and requests.

Sizes are odd on purpose, weights are large enough that attention decides the next token, and
a seed makes every model the same in every test.
"""

from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from common.layout import PackedPrompt, PromptTokens
from common.methods import METHODS
from common.prompts import PromptFormat, Template
from common.records import Sample
from worker.engine.answer_end import EndRules
from worker.engine.reference import reference_prompts
from worker.engine.request import Request, as_sample
from worker.engine.segments import PrefixSplitter
from worker.model.tokenizer import PromptTokenizer

VOCABULARY, PAD, BOS, EOS = 307, 0, 1, 2

FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, {"hidden_size": 36, "num_attention_heads": 6}),
    "qwen2": (Qwen2Config, {"hidden_size": 54, "num_attention_heads": 9}),
    "qwen3": (Qwen3Config, {"hidden_size": 39, "num_attention_heads": 6, "head_dim": 10}),
    "mistral": (
        MistralConfig,
        {"hidden_size": 45, "num_attention_heads": 9, "head_dim": 14, "sliding_window": None},
    ),
}

PLAIN_METHODS = tuple(
    name
    for name, method in METHODS.items()
    if not method.reads_confidences and method.visibility != "cross_manual"
)

TEMPLATE = Template(instruction="Say one word.")
FEW_SHOT = (("who is it?", "Ann"), ("where is it?", "Rome"))
FORMAT = PromptFormat(TEMPLATE, FEW_SHOT)
SAMPLES = (
    ("what is 7?", "name the 7", "is 7 it, or not?"),
    ("who wrote it?", "the one who wrote it is", "wrote by?"),
)
MANY = tuple(
    (f"who is {name}?", f"{name} is the name of", "tell me " * i + name)
    for i, name in enumerate(["7", "Ann", "Rome", "it", "the one", "me, or not", "who"])
)


def make_config(family: str, **changes: Any) -> Any:
    config, sizes = FAMILIES[family]
    kv_heads = {"num_key_value_heads": sizes["num_attention_heads"] // 3}
    return config(**(_COMMON | kv_heads | sizes | changes))


_COMMON = {
    "vocab_size": VOCABULARY,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "initializer_range": 0.3,
    "max_position_embeddings": 499,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}


def make_model(config: Any, seed: int = 7) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def make_tokenizer(bos: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE; with `bos` it puts a BOS before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 6,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<pad>", "<s>", "</s>"],
        show_progress=False,
    )
    texts = [TEMPLATE.prefix(FEW_SHOT), *(f"Q: {w}\n" for s in SAMPLES for w in s)]
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", BOS)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def make_request(
    *methods: str, template: Template = TEMPLATE, few_shot: Any = FEW_SHOT, **changes: Any
) -> Request:
    """A request for some methods; without names for all that read nothing but paraphrases."""
    options: dict[str, Any] = {
        "methods": tuple(METHODS[name] for name in methods or PLAIN_METHODS),
        "num_paraphrases": 3,
        "layout": "concat",
        "positions": "sequential",
        "prompt_format": PromptFormat(template, few_shot),
        "max_new_tokens": 5,
    }
    return Request(**options | changes)


def watch_fed_tokens(model: PreTrainedModel) -> list[int]:
    """A list that grows by the number of tokens of every call to the model's body."""
    lengths: list[int] = []

    def note(module: Any, args: Any, kwargs: Any) -> None:
        lengths.append(kwargs["input_ids"].shape[1])

    model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    return lengths


def known(sample: Any) -> Sample:
    """A Sample with every field set: two manual paraphrases, the second with more confidence.

    A Sample is returned unchanged.
    """
    if isinstance(sample, Sample):
        return sample
    paraphrases = as_sample(sample).paraphrases
    confidences = tuple(0.25 + 0.5 * (i == 1) for i in range(len(paraphrases)))
    return Sample(paraphrases, uuid="id", num_manual=2, confidences=confidences)


def packed_prompts(tokenizer: Any, question: Sample, request: Request) -> list[list[PackedPrompt]]:
    """Prompts by the reference: for each answer of a one-method request one per sequence."""
    pieces = PromptTokenizer(tokenizer).cut(request.prompt_format, question.paraphrases)
    (method,) = request.methods
    return reference_prompts(pieces, method, request.layout, request.positions, question)


def edit(pieces: PromptTokens, paraphrase: int) -> PromptTokens:
    """A copy whose paraphrase has other tokens, as many as before."""
    segments = list(pieces.segments)
    segments[paraphrase] = tuple(3 + (token + 1) % 300 for token in segments[paraphrase])
    return replace(pieces, segments=tuple(segments))


def splitter_of(pieces: PromptTokens, movable: bool = True) -> PrefixSplitter:
    """A splitter that cuts where a run whose prompts begin with this prefix is cut."""
    return PrefixSplitter((pieces.bos, pieces.prefix[len(pieces.bos) :]), movable)


def reference_ends(tokenizer: Any, request: Request) -> tuple[EndRules, list[bytes]]:
    """What ends the answers to a plain request, and the bytes of tokens, for the reference."""
    return EndRules(request.stop, (EOS,)), PromptTokenizer(tokenizer).token_bytes.by_id


def make_pieces(
    lengths: tuple[int, ...], bos: bool, prefix: int = 7, seed: int = 0
) -> PromptTokens:
    """Random prompt tokens: one segment per length; the prefix begins with the BOS."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    first = (BOS,) if bos else ()
    beginning, cue = draw(prefix), draw(2)
    segments = tuple(draw(length) for length in lengths)
    return PromptTokens(first, first + beginning, segments, cue)

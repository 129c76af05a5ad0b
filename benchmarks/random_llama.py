"""Llama-3.2-3B with random weights, a tiny version of it, and a tokenizer, without downloads.

It is as fast as the trained model. Its answers are nonsense, but no benchmark looks at them.
"""

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SEED = 0

TOKENIZER_SIZE = 768
"""Vocabulary with which paraphrases are as long as with SmolLM2's tokenizer; see the test."""

_LLAMA_32_3B: dict[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}

_TINY: dict[str, Any] = {
    "vocab_size": 2304,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,  # the smallest that FlexAttention takes on a GPU
    "initializer_range": 0.3,  # so that attention decides the next token
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def llama_config(tiny: bool = False) -> LlamaConfig:
    """Configuration of meta-llama/Llama-3.2-3B, or a tiny one with three small layers.

    Both have three query heads for each key head, tied embeddings and the same rotation.
    """
    return LlamaConfig(**(_LLAMA_32_3B | (_TINY if tiny else {})))


def random_model(config: LlamaConfig, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Model with random weights, initialised on the device as transformers would for training."""
    torch.manual_seed(SEED)
    with device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.eval()
    return model


def make_tokenizer(texts: Iterable[str], size: int, bos: bool) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on texts; with `bos` every text begins with a BOS token.

    size: of the vocabulary, at most. A larger one makes shorter prompts.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )

"""Tiny seeded models of any family that transformers knows, beside the four of `families`."""

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from tests.worker.engine.families import _COMMON, EOS

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 56,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
ABSENT = "absent"
"""As a value: the option is left out."""


def build(family: str, **changes: Any) -> PreTrainedModel:
    """A model of a family; weights are large enough that attention decides the next token."""
    return build_of(CONFIG_MAPPING[family](**_options(changes)))


def build_nested(family: str, **changes: Any) -> PreTrainedModel:
    """A model that nests its text model beside a vision model of a single layer."""
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = CONFIG_MAPPING[family](
        text_config=_options(changes), vision_config=vision, eos_token_id=EOS,
        image_token_index=300, image_token_id=300, boi_token_index=301, eoi_token_index=302,
        mm_tokens_per_image=4, tie_word_embeddings=False,
    )  # fmt: skip
    return build_of(config)


def build_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(0.25 * torch.randn(weight.shape, generator=draws))
    return model


def _options(changes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (_COMMON | _SIZES | changes).items() if v != ABSENT}


NO_KV_HEADS = {"num_key_value_heads": ABSENT}
LATENT = {
    "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 64, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
    "n_shared_experts": 1,
}  # fmt: skip
LLAMA4 = {
    "head_dim": 16, "num_local_experts": 2, "intermediate_size_mlp": 64, "moe_layers": [],
    "attention_chunk_size": 4096,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 8,
    "long_factor": [1.1, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    "original_max_position_embeddings": 64,
}
SCALED_BY_POSITION = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "original_max_position_embeddings": 32,
    "llama_4_scaling_beta": 0.5,
}

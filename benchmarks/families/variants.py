"""Variants: configurations that change how a family attends, beside transformers' defaults.

Plain prompts have 36 to 43 tokens, of which the first 32 are equal; packed prompts have about 110.
So prompts are longer than windows, chunks and original lengths below that.
"""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.families.sizes import tiny_config, window_names

SHORT_WINDOW = 34
"""Tokens: shorter than every prompt, longer than the beginning that all share."""

_LONG = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8}


@dataclass(frozen=True)
class Variant:
    """A family's tiny text configuration with some values changed."""

    family: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)


def _rope(kind: str, **values: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **values}}


def _all_attention() -> dict[str, Any]:
    return {"layer_types": ["full_attention"] * 3}


VARIANTS = (
    Variant("llama", "one key head", {"num_key_value_heads": 1}),
    Variant("llama", "a key head for each query head", {"num_key_value_heads": 4}),
    Variant("llama", "heads of 12", {"head_dim": 12}),
    Variant("llama", "biases", {"attention_bias": True, "mlp_bias": True}),
    Variant("llama", "tied head", {"tie_word_embeddings": True}),
    Variant("llama", "linear rotation", _rope("linear", factor=4.0)),
    Variant("llama", "dynamic rotation", _rope("dynamic", factor=4.0)),
    Variant(
        "llama",
        "yarn",
        _rope("yarn", factor=4.0, original_max_position_embeddings=32),
    ),
    Variant(
        "llama",
        "llama3 rotation",
        _rope(
            "llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    Variant(
        "phi3",
        "longrope, prompts within the original length",
        {"original_max_position_embeddings": 400, **_rope("longrope", **_LONG)},
    ),
    Variant(
        "phi3",
        "longrope, prompts past the original length",
        {"original_max_position_embeddings": 60, **_rope("longrope", **_LONG)},
    ),
    Variant(
        "deepseek_v3",
        "yarn with mscale",
        _rope(
            "yarn",
            factor=4.0,
            original_max_position_embeddings=32,
            mscale=1.0,
            mscale_all_dim=1.0,
        ),
    ),
    Variant(
        "qwen2",
        "windows in the upper layers",
        {
            "use_sliding_window": True,
            "sliding_window": SHORT_WINDOW,
            "max_window_layers": 1,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
    ),
    Variant("gemma2", "without a soft-cap of scores", {"attn_logit_softcapping": None}),
    Variant("llama4_text", "chunks of 32", {"attention_chunk_size": 32}),
    Variant(
        "llama4_text",
        "queries scaled by position",
        {"attn_temperature_tuning": True, "floor_scale": 16, "attn_scale": 2.0},
    ),
    Variant(
        "ministral3",
        "queries scaled by position",
        _rope("default", llama_4_scaling_beta=0.5, original_max_position_embeddings=16),
    ),
    Variant("gpt2", "scores scaled by layer", {"scale_attn_by_inverse_layer_idx": True}),
    Variant("gpt2", "scores as they are", {"scale_attn_weights": False}),
    Variant("gpt2", "scores computed in another order", {"reorder_and_upcast_attn": True}),
    Variant("gpt_bigcode", "a key head for each query head", {"multi_query": False}),
    Variant("gpt_neox", "attention and MLP one after another", {"use_parallel_residual": False}),
    Variant(
        "opt",
        "norms behind, narrow embeddings",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 32},
    ),
    Variant("phi", "normed queries and keys", {"qk_layernorm": True}),
    Variant("stablelm", "normed queries and keys", {"qk_layernorm": True}),
    # Its MLP runs beside the attention, and a larger one would decide all tokens alone.
    Variant("cohere", "normed queries and keys", {"use_qk_norm": True, "intermediate_size": 4}),
    Variant("glm4_moe", "normed queries and keys", {"use_qk_norm": True}),
    Variant("olmo", "clipped queries, keys and values", {"clip_qkv": 0.5}),
    Variant("qwen3_moe", "experts in every second layer", {"decoder_sparse_step": 2}),
    Variant("deepseek_v3", "full-rank queries", {"q_lora_rank": None}),
    Variant("granitemoehybrid", "attention in every layer", _all_attention()),
    Variant("lfm2", "attention in every layer", _all_attention()),
    Variant(
        "gemma3_text",
        "linear rotation in full layers",
        {
            "rope_parameters": {
                "sliding_attention": _rope("default")["rope_parameters"],
                "full_attention": _rope("linear", factor=8.0)["rope_parameters"],
            }
        },
    ),
    Variant("smollm3", "layers without rotation", {"no_rope_layers": [1, 0, 1, 0]}),
    Variant("falcon", "ALiBi", {"alibi": True}),
    Variant("falcon", "rotation, one key head", {"alibi": False, "multi_query": True}),
)


def with_short_windows(family: str) -> Variant | None:
    """Variant whose windows are shorter than a prompt; None for a family without windows."""
    names = window_names(family)
    if not names:
        return None
    changes: dict[str, Any] = dict.fromkeys(names, SHORT_WINDOW)
    text = tiny_config(family).get_text_config(decoder=True)
    kinds = text.to_dict().get("layer_types")
    if kinds and "sliding_window" in names and not any("sliding" in kind for kind in kinds):
        changes["layer_types"] = ["sliding_attention", *kinds[1:]]
    return Variant(family, f"windows of {SHORT_WINDOW}", changes)

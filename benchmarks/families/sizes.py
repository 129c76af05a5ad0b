"""Tiny configurations of any family: small sizes, by the names of its own attributes."""

from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from benchmarks.families.exceptions import EXCEPTIONS

VOCABULARY, BOS, EOS = 307, 0, 1

MAX_POSITIONS = 499

WINDOWS = (
    "sliding_window",
    "sliding_window_size",
    "window_size",
    "attention_window_size",
    "keep_window_size",
    "local_attention",
    "attention_chunk_size",
    "index_topk",
)
"""Attributes that limit how far a layer looks back, or how many keys it picks."""

NO_WINDOW = 512

_MOST_LAYERS, _LEAST_LAYERS = 6, 3

_SIZES: dict[int, str] = {
    64: """hidden_size d_model n_embd emb_dim embedding_dim embedding_size word_embed_proj_dim
        input_embedding_size output_embedding_size attention_hidden_size lru_width
        moe_latent_size""",
    48: """intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim dim_ff dff ffn_hidden_size
        d_inner feed_forward_size moe_intermediate_size shared_expert_intermediate_size
        shared_experts_intermediate_size expert_ffn_hidden_size intermediate_size_mlp
        dense_intermediate_size shared_intermediate_size moe_shared_expert_intermediate_size
        ple_embed_dim""",
    16: """head_dim d_head dim_head kv_channels swa_head_dim attention_head_dim
        attention_head_size kv_lora_rank q_lora_rank o_lora_rank index_head_dim mamba_d_head
        mamba_head_dim mamba_headdim linear_key_head_dim linear_value_head_dim linear_head_dim
        hidden_size_per_layer_input router_hidden_size laurel_rank gated_norm_rank d_rel
        hc_lowrank adapter_rank""",
    8: """rotary_dim qk_rope_head_dim qk_nope_head_dim v_head_dim mamba_d_state state_size
        ssm_state_size mamba_n_heads mamba_num_heads n_mamba_heads time_step_rank
        mamba_dt_rank""",
    4: """num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads
        encoder_attention_heads num_encoder_attention_heads num_decoder_attention_heads
        swa_num_attention_heads index_n_heads linear_num_heads linear_num_value_heads
        num_experts n_routed_experts num_local_experts moe_num_experts""",
    2: """num_key_value_heads num_kv_heads swa_num_key_value_heads linear_num_key_heads
        num_query_groups num_experts_per_tok num_experts_per_token moe_topk moe_k""",
    1: """n_group topk_group num_expert_group n_groups mamba_n_groups mamba_ngroups
        n_shared_experts num_shared_experts moe_num_shared_experts first_k_dense_replace
        num_dense_layers""",
    NO_WINDOW: " ".join(WINDOWS),
    VOCABULARY: "vocab_size vocab_size_per_layer_input unpadded_vocab_size",
    MAX_POSITIONS: """max_position_embeddings n_positions n_ctx max_seq_len model_max_length
        max_target_positions context_length""",
}
SIZES = {name: size for size, names in _SIZES.items() for name in names.split()}

_LAYERS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "decoder_layers",
    "num_encoder_layers",
    "num_decoder_layers",
    "num_blocks",
)

_IDS = {"pad_token_id": EOS, "bos_token_id": BOS, "eos_token_id": EOS}


def tiny_config(family: str, changes: Mapping[str, Any] | None = None) -> PreTrainedConfig:
    """Configuration of a family with small sizes; everything else is transformers' default.

    changes: values of the text part that override the small sizes.
    """
    kind = CONFIG_MAPPING[family]
    return kind(**tiny_options(kind(), changes or {}))


def window_names(family: str) -> list[str]:
    """Attributes of a family's text configuration that limit which tokens a layer sees."""
    text = tiny_config(family).get_text_config(decoder=True).to_dict()
    return [name for name in WINDOWS if text.get(name) == NO_WINDOW]


def tiny_options(config: PreTrainedConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values that make a configuration and its parts small, by their own names."""
    values = config.to_dict()
    parts = {n: part for n in values if isinstance(part := vars(config).get(n), PreTrainedConfig)}
    text = config.get_text_config(decoder=True)
    small: dict[str, Any] = {
        name: tiny_options(part, changes if part is text else {}) for name, part in parts.items()
    }
    small |= {name: size for name, size in SIZES.items() if _is_number(values.get(name))}
    small |= _layers(values) | _heads(values)
    # A tied head prefers the token just read, whatever attention adds to it.
    small |= {"tie_word_embeddings": False} if "tie_word_embeddings" in values else {}
    small |= {name: i for name, i in _IDS.items() if name in values}
    if "is_decoder" in values and not values.get("is_encoder_decoder"):
        small["is_decoder"] = True
    small |= EXCEPTIONS.get(config.model_type, {})
    return small | (dict(changes) if text is config else {"model_type": config.model_type})


def _heads(values: Mapping[str, Any]) -> dict[str, Any]:
    """Head sizes that depend on each other, and head sizes that default to None."""
    if "qk_rope_head_dim" in values:  # latent attention: a key head for each query head
        return {"head_dim": SIZES["qk_rope_head_dim"], "num_key_value_heads": 4}
    return {name: SIZES[name] for name in ("head_dim", "num_key_value_heads") if name in values}


def _is_number(value: Any) -> bool:
    """Whether a value is a size; 0 and None mean that the model lacks the part."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _layers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Number of layers, and every list with one entry per layer, cut to the same few layers."""
    names = [name for name in _LAYERS if _is_number(values.get(name))]
    if not names:
        return {}
    number = values[names[0]]
    lists = {n: v for n, v in values.items() if isinstance(v, list) and len(v) == number > 2}
    own = {int(layer): each for layer, each in (values.get("per_layer_config") or {}).items()}
    kinds = zip(*lists.values(), strict=True) if lists else iter([()] * number)
    kept = _some_of_each_kind([repr((kind, own.get(i))) for i, kind in enumerate(kinds)])
    small: dict[str, Any] = {n: [_small(n, v[i]) for i in kept] for n, v in lists.items()}
    if own:
        layers = {i: own[layer] for i, layer in enumerate(kept) if layer in own}
        small["per_layer_config"] = {i: _own_sizes(sizes) for i, sizes in layers.items()}
    return small | dict.fromkeys(names, len(kept))


def _own_sizes(names: Mapping[str, Any]) -> dict[str, int]:
    """Sizes of a layer that differs from most layers: twice as large."""
    sizes = {name: 2 * SIZES[name] for name in names}
    if "kv_lora_rank" in sizes:
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    return sizes


def _small(name: str, value: Any) -> Any:
    """Small value of a list entry that belongs to one layer."""
    return SIZES.get(name, value) if _is_number(value) else value


def _some_of_each_kind(kinds: list[str]) -> list[int]:
    """Indices of a few layers, in order, including the first of every kind.

    >>> _some_of_each_kind(["window"] * 5 + ["full"] * 2)
    [0, 1, 5]
    """
    firsts = [kinds.index(kind) for kind in dict.fromkeys(kinds)][:_MOST_LAYERS]
    others = [i for i in range(len(kinds)) if i not in firsts]
    return sorted([*firsts, *others[: max(0, _LEAST_LAYERS - len(firsts))]])

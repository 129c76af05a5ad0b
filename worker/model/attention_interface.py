"""The attention interface: the one function that transformers' models call in every layer.

The model keeps the `forward` of its authors, which calls `attention_forward`. That passes
queries, keys and values to the `context` of the model call. Per-call state is in that argument,
so nothing is global between calls. A call without a context is an error, never a causal mask by
default.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from common.errors import StopRun

NAME = "self_ensemble"

_READ_BY_FLASH_ATTENTION = frozenset({"position_ids"})
"""Arguments that may have a value, because they change no score: transformers' flash kernels find
packed prompts by them, and its eager attention reads none. A survey of every causal family of
transformers 5.17 found no others."""

_FEATURES = {
    "s_aux": "attention sinks",
    "indices": "sparse indices",
    "block_indices": "sparse indices",
    "position_bias": "a bias by position",
}
"""Names of the features behind arguments of transformers' attention functions."""


class LayerCall(NamedTuple):
    """The scores that one layer asks for.

    softcap: scores become softcap * tanh(score / softcap); None for none. window: a token sees
    the keys at fewer than this many positions before it; None if the mask alone says so.
    """

    layer: int
    scaling: float
    softcap: float | None = None
    window: int | None = None


AttendLayer = Callable[[LayerCall, Tensor, Tensor, Tensor], Tensor]
"""Attention of one layer.

Call, query [1, H, T, D], key [1, H_kv, T, D], value [1, H_kv, T, D_v] -> [1, H, T, D_v].
"""


class AttentionContext(NamedTuple):
    """The `context` argument of a model call.

    attend: computes the attention of a layer. Prefill and decoding share this class, because
    layers are compiled for its type.
    """

    attend: AttendLayer


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None,
    context: AttentionContext | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it in every layer; returns [1, T, H, D_v].

    Raises StopRun for a call without a context, for a model that changes scores or the mask in a
    way that the engine does not compute.
    """
    if context is None:
        raise StopRun(
            f"{type(module).__name__} was called without an attention context: its model was "
            "called outside of worker.engine, or does not pass arguments on to its attention, "
            "which is not supported"
        )
    fault = changed_scores(kwargs) or _changed_mask(attention_mask, is_causal, query, key)
    if fault:
        raise StopRun(f"{type(module).__name__} {fault}, which is not supported here")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = LayerCall(_layer_of(module), scaling, softcap, sliding_window)
    output = context.attend(call, query, key, value)
    # The row dimension is added last, so that its stride never changes; torch compiles for it.
    return output[0].transpose(0, 1).contiguous()[None], None


def changed_scores(kwargs: Mapping[str, Any]) -> str | None:
    """Name an argument that would change the scores; None if there is none."""
    for name, value in kwargs.items():
        unset = value is None or value is False or (name == "dropout" and value == 0)
        if not unset and name not in _READ_BY_FLASH_ATTENTION:
            feature = _FEATURES.get(name)
            return f"wants {feature} ({name})" if feature else f"wants {name}"
    return None


def _changed_mask(
    attention_mask: Tensor | None, is_causal: bool | None, query: Tensor, key: Tensor
) -> str | None:
    """Say how the model's mask differs from the causal mask; None if it is causal."""
    if attention_mask is not None:
        return "makes a mask of its own"
    if is_causal is False:
        return "lets tokens see later ones"
    if key.shape[2] != query.shape[2]:
        return f"hands over {key.shape[2]} keys for {query.shape[2]} tokens"
    return None


def _layer_of(module: nn.Module) -> int:
    layer = getattr(module, "layer_idx", None)
    if not isinstance(layer, int):
        raise StopRun(f"{type(module).__name__} does not tell its layer's number (layer_idx)")
    return layer


def install_attention(model: PreTrainedModel) -> None:
    """Make `model` call `attention_forward`.

    Raises StopRun if the model does not take its attention from transformers' AttentionInterface,
    or keeps a recurrent state beside it.
    """
    AttentionInterface.register(NAME, attention_forward)
    model.set_attn_implementation(NAME)
    stateful = getattr(model, "_is_stateful", False)
    if stateful or model.config._attn_implementation != NAME:
        alone = " alone, it keeps a recurrent state beside it" if stateful else ""
        raise StopRun(
            f"{type(model).__name__} does not take its attention from transformers' "
            f"AttentionInterface{alone}, so it cannot be used here"
        )

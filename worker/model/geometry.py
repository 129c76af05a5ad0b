"""The geometry of a model: its sizes, and the number of positions that it can compute.

Heads and widths are read from the queries, keys and values that the model's layers hand over,
because configs name them differently from family to family, nest them, or leave them out.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from transformers import PreTrainedModel

from common.errors import SelfEnsembleError, StopRun, first_line
from worker.model.attention_interface import install_attention
from worker.model.independence import row_alone, same_beside_others
from worker.model.layer_calls import LayerCalls
from worker.model.memory import is_out_of_memory
from worker.model.model_mask import cached_positions, causal_positions
from worker.model.probe import PROBE_TOKENS, ProbeOutput

FAR = 1 << 17
"""Positions that are examined if a model's config names no largest one."""


@dataclass(frozen=True)
class ModelGeometry:
    """Sizes of a model.

    key_dim, value_dim: width of a head's keys (and queries) and of its values. vocabulary: width
    of the logits. num_ids: ids below this number may be fed. max_positions: the number that the
    model's config names; None for any number. causal_positions: the first position at which a
    layer no longer sees all earlier tokens. steady_positions: the first position at which rotary
    factors change for the whole row.
    """

    layers: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    hidden_size: int
    inner_size: int
    vocabulary: int
    num_ids: int
    max_positions: int | None
    causal_positions: int
    steady_positions: int

    @property
    def positions(self) -> int:
        """Number of positions that are computed correctly; at most FAR if there is no limit."""
        return min(self.max_positions or FAR, self.causal_positions, self.steady_positions)

    @property
    def slot_numbers(self) -> int:
        """Number of elements in one token's keys and values, over all layers."""
        return self.layers * self.kv_heads * (self.key_dim + self.value_dim)

    def length_fault(self, last: int, max_new_tokens: int) -> str | None:
        """The reason why a prompt is too long to be answered; None if it is not.

        last: position of the prompt's last token. The last generated token is never fed, so the
        model computes one position less than prompt and answer take.

            >>> sizes = ModelGeometry(1, 1, 1, 8, 8, 8, 8, 50, 50, 40, 30, 40)
            >>> sizes.length_fault(25, 5), sizes.length_fault(26, 5)[:37]
            (None, 'its prompt and answer take 32 positio')
        """
        needed = last + 1 + max_new_tokens
        takes = f"its prompt and answer take {needed} positions"
        if self.max_positions is not None and needed > self.max_positions:
            return f"{takes}, the model has {self.max_positions}"
        if needed - 1 > self.causal_positions:
            return (
                f"{takes}, and from position {self.causal_positions} on this model no longer sees "
                "all that came before (a sliding window or chunks), which is not supported"
            )
        if needed - 1 > self.steady_positions:
            return (
                f"{takes}, and from position {self.steady_positions} on this model changes its "
                "rotary factors, also for what lies beside it, which is not supported"
            )
        return None


_known: "WeakKeyDictionary[PreTrainedModel, ModelGeometry]" = WeakKeyDictionary()


def geometry_of(model: PreTrainedModel) -> ModelGeometry:
    """The geometry of a model, read by probing it once; installs the engine's attention.

    Raises StopRun, with the reason, for a model that this engine cannot compute.
    """
    if model not in _known:
        _known[model] = _read(model)
    return _known[model]


def _read(model: PreTrainedModel) -> ModelGeometry:
    model.eval()
    install_attention(model)
    try:
        return _probed(model)
    except Exception as error:
        if isinstance(error, SelfEnsembleError) or is_out_of_memory(error):
            raise
        raise StopRun(
            f"{type(model).__name__} cannot be used here: computing a row of "
            f"{len(PROBE_TOKENS)} tokens fails with {type(error).__name__}: {first_line(error)}"
        ) from error


def _probed(model: PreTrainedModel) -> ModelGeometry:
    text = model.config.get_text_config(decoder=True)
    largest = getattr(text, "max_position_embeddings", None)
    positions = int(largest or FAR)
    causal = min(causal_positions(model, positions), cached_positions(model, positions))
    probed = row_alone(model)
    steady = same_beside_others(model, probed, positions)
    _check(model, probed)
    _, query, key, value = probed.calls[0]
    embeddings: Any = model.get_input_embeddings()
    return ModelGeometry(
        layers=len(probed.calls),
        heads=query.shape[0],
        kv_heads=key.shape[0],
        key_dim=key.shape[-1],
        value_dim=value.shape[-1],
        hidden_size=int(text.hidden_size),
        inner_size=_inner_size(text),
        vocabulary=probed.logits.shape[-1],
        num_ids=len(embeddings.weight),
        max_positions=largest and int(largest),
        causal_positions=causal,
        steady_positions=steady,
    )


def _check(model: PreTrainedModel, probed: ProbeOutput) -> None:
    """Raise StopRun unless every layer attends once, all heads have one shape, and logits are
    numbers.
    """
    name = type(model).__name__
    if not probed.calls:
        raise StopRun(
            f"{name} does not take its attention from transformers' AttentionInterface, so it "
            "cannot be used here"
        )
    calls = LayerCalls(lambda layer, query, key, value, scaling: value)
    for call in probed.calls:
        calls.attend(call.layer, call.query, call.key, call.value, 1.0)
    calls.check(model, model.config.get_text_config(decoder=True).num_hidden_layers)
    shapes = [[tuple(x.shape) for x in call[1:]] for call in probed.calls]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise StopRun(
            f"{name} cannot be used here: layer {odd} has heads of another number or width than "
            f"layer 0 ({_heads(probed, odd)}, not {_heads(probed, 0)}), which is not supported"
        )
    _refuse_no_numbers(model, probed.logits)


def _heads(probed: ProbeOutput, layer: int) -> str:
    _, query, key, value = probed.calls[layer]
    return f"{len(query)} x {query.shape[-1]} and {len(key)} x {key.shape[-1]}/{value.shape[-1]}"


def _refuse_no_numbers(model: PreTrainedModel, logits: Tensor) -> None:
    """Raise StopRun if every row of logits [T, V] holds a NaN."""
    if bool(logits.isnan().any(dim=-1).all()):
        raise StopRun(
            f"the logits of {type(model).__name__} in {dtype_name(model)} are not numbers (NaN) "
            "for any prompt: its weights are damaged, or too large for this dtype; try another "
            "--dtype"
        )


def dtype_name(model: PreTrainedModel) -> str:
    """Name of a model's dtype: `float32`, `bfloat16` or `float16`."""
    return str(model.dtype).removeprefix("torch.")


def _inner_size(text: Any) -> int:
    """Width of the MLP's inner layer; the largest if layers differ."""
    for name in ("intermediate_size", "ffn_dim", "n_inner"):
        size = getattr(text, name, None)
        if size:
            return int(max(size) if isinstance(size, (list, tuple)) else size)
    return 4 * int(text.hidden_size)

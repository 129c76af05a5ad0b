"""The geometry of a model: one object that says everything about its shape.

Heads and widths are read from the queries, keys and values that the model's layers hand over,
because configs name them differently from family to family, nest them, or leave them out. Windows
are read from the masks that the model makes. Everything else is `config_facts`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from transformers import PreTrainedModel

from common.errors import SelfEnsembleError, StopRun, first_line
from worker.model.attention_interface import LayerCall, install_attention
from worker.model.config_facts import read_config
from worker.model.independence import row_alone, same_beside_others
from worker.model.memory import is_out_of_memory
from worker.model.model_mask import mask_limits
from worker.model.movable_keys import can_move_keys
from worker.model.probe import PROBE_TOKENS, ProbeOutput

FAR = 1 << 17
"""Positions that are examined if a model's config names no largest position."""


@dataclass(frozen=True)
class ModelGeometry:
    """Everything about a model's shape.

    key_dim, value_dim: width of a head's keys (and queries) and of its values. vocabulary: width
    of the logits. num_ids: ids below this number may be fed. max_positions: the number that the
    model's config names; None for any number. causal_positions: the first position at which a
    layer no longer sees all earlier tokens of its window. steady_positions: the first position at
    which rotary factors change for the whole row.

    layer_types: the kind of each layer, in the config's words; () if it names none. windows: one
    per layer: a token sees the keys at fewer than this many positions before it; None for all.
    chunk: positions of a chunk, if layers attend within chunks. softcap: scores are computed as
    softcap * tanh(score / softcap); None for as they are. movable: whether keys may be rotated to
    another position. eos_ids: ids that the generation config lets end an answer. role_ids: ids
    that mean something other than text.
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
    layer_types: tuple[str, ...]
    windows: tuple[int | None, ...]
    chunk: int | None
    softcap: float | None
    movable: bool
    eos_ids: tuple[int, ...]
    role_ids: frozenset[int]

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
        """
        needed = last + 1 + max_new_tokens
        takes = f"its prompt and answer take {needed} positions"
        if self.max_positions is not None and needed > self.max_positions:
            return f"{takes}, the model has {self.max_positions}"
        if needed - 1 > self.causal_positions:
            chunked = self.chunk == self.causal_positions
            feature = "chunked attention" if chunked else "a sliding window of its mask or cache"
            return (
                f"{takes}, and from position {self.causal_positions} on this model no longer "
                f"sees all that came before ({feature}), which is not supported"
            )
        if needed - 1 > self.steady_positions:
            return (
                f"{takes}, and from position {self.steady_positions} on this model changes its "
                "rotary factors, also for what lies beside it, which is not supported"
            )
        return None

    def calls_fault(self, calls: Sequence[LayerCall]) -> str | None:
        """Say how the calls of a step differ from this geometry; None if all agree.

        Each layer must call once, in order, and ask for the soft-cap and the window that this
        geometry has for the layer.
        """
        layers, called = range(self.layers), [call.layer for call in calls]
        if called == list(layers):
            return next((fault for call in calls if (fault := self._call_fault(call))), None)
        counts = Counter(called)
        odd = next((layer for layer in layers if counts[layer] != 1), None)
        how = (
            f"its layers attend in the order {called}"
            if odd is None or set(called) - set(layers)
            else f"layer {odd} attends {counts[odd]} times"
        )
        return (
            f"{how} in one step of the model, and only models whose layers attend exactly once "
            "each are supported"
        )

    def _call_fault(self, call: LayerCall) -> str | None:
        if call.softcap != self.softcap:
            return (
                f"layer {call.layer} wants a soft-cap of {call.softcap}, its config says "
                f"{self.softcap}"
            )
        window = self.windows[call.layer]
        is_full = call.window is None or call.window >= (self.max_positions or FAR)
        if is_full or call.window == window:
            return None
        return f"layer {call.layer} wants a window of {call.window}, its mask has {window}"


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
    facts = read_config(model.config, model.generation_config)
    positions = facts.max_positions or FAR
    limits = mask_limits(model, facts, positions)
    probed = row_alone(model)
    steady = same_beside_others(model, facts, probed, positions)
    if not probed.calls:
        raise StopRun(
            f"{type(model).__name__} does not take its attention from transformers' "
            "AttentionInterface, so it cannot be used here"
        )
    _, query, key, value = probed.calls[0]
    embeddings: Any = model.get_input_embeddings()
    geometry = ModelGeometry(
        layers=facts.num_layers,
        heads=query.shape[0],
        kv_heads=key.shape[0],
        key_dim=key.shape[-1],
        value_dim=value.shape[-1],
        hidden_size=facts.hidden_size,
        inner_size=facts.inner_size,
        vocabulary=probed.logits.shape[-1],
        num_ids=len(embeddings.weight),
        max_positions=facts.max_positions,
        causal_positions=limits.causal_positions,
        steady_positions=steady,
        layer_types=facts.layer_types,
        windows=limits.windows,
        chunk=facts.attention_chunk,
        softcap=facts.softcap,
        movable=False,
        eos_ids=facts.eos_ids,
        role_ids=facts.role_ids,
    )
    _check(model, geometry, probed)
    return replace(geometry, movable=can_move_keys(model, facts, min(positions, steady)))


def _check(model: PreTrainedModel, geometry: ModelGeometry, probed: ProbeOutput) -> None:
    """Raise StopRun unless every layer attends once, all heads have one shape, and logits are
    numbers.
    """
    name = type(model).__name__
    if fault := geometry.calls_fault([inputs.call for inputs in probed.calls]):
        raise StopRun(f"{name} cannot be used here: {fault}")
    shapes = [[tuple(x.shape) for x in inputs[1:]] for inputs in probed.calls]
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

"""Config facts: the shape of a model by its config. No other module reads configs for shapes.

Configs name one thing differently from family to family. Names that most families share are read
here; what a single family does otherwise is a quirk in a file of `worker.model.families`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.errors import StopRun
from worker.model.families import load_families


class RopeTable(NamedTuple):
    """One table of rotary frequencies.

    kind: transformers' `rope_type`. original_positions: positions of the pretraining that it
    scales from; None if the config names none. layer_type: the kind of layers that use it; None
    for all.
    """

    kind: str
    original_positions: int | None
    layer_type: str | None


@dataclass(frozen=True)
class ConfigFacts:
    """Facts of a config about its text model; None for a fact that it does not name.

    layer_types: one per layer, or (). inner_size: width of the MLP's inner layer, the largest if
    layers differ. max_positions, sliding_window, attention_chunk: in tokens. softcap: scores are
    computed as softcap * tanh(score / softcap). eos_ids: of the generation config. role_ids: ids
    that mean something other than text (end of text, an image, ...).
    """

    num_layers: int
    layer_types: tuple[str, ...]
    hidden_size: int
    inner_size: int
    max_positions: int | None
    sliding_window: int | None
    attention_chunk: int | None
    softcap: float | None
    ropes: tuple[RopeTable, ...]
    eos_ids: tuple[int, ...]
    role_ids: frozenset[int]


FamilyQuirk = Callable[[Any, ConfigFacts], ConfigFacts]
"""Corrects the facts of a family: (text config, facts) -> facts.

Raises StopRun for a feature that is not computed, and names the feature.
"""

_quirks: dict[str, FamilyQuirk] = {}


def register_family(model_type: str, quirk: FamilyQuirk) -> None:
    """Let `quirk` correct the facts of configs whose text part has this `model_type`.

    Raises ValueError if another quirk has the name.
    """
    if _quirks.setdefault(model_type, quirk) is not quirk:
        raise ValueError(f"model_type {model_type!r} has a quirk already: {_quirks[model_type]}")


def read_config(config: Any, generation_config: Any = None) -> ConfigFacts:
    """Return the facts of a transformers config and of its generation config.

    Raises StopRun if the config lacks the number of layers or the hidden size, or asks for a
    feature that is not computed.
    """
    load_families()
    text = config.get_text_config(decoder=True)
    hidden_size = _required(text, "hidden_size")
    facts = ConfigFacts(
        num_layers=_required(text, "num_hidden_layers"),
        layer_types=tuple(getattr(text, "layer_types", None) or ()),
        hidden_size=hidden_size,
        inner_size=inner_size(text, "intermediate_size"),
        max_positions=_size(text, "max_position_embeddings"),
        sliding_window=_size(text, "sliding_window"),
        attention_chunk=_size(text, "attention_chunk_size"),
        softcap=getattr(text, "attn_logit_softcapping", None),
        ropes=tuple(_ropes(getattr(text, "rope_parameters", None) or {})),
        eos_ids=_ids(getattr(generation_config, "eos_token_id", None)),
        role_ids=frozenset(_named_ids(config.to_dict())),
    )
    quirk = _quirks.get(text.model_type)
    return quirk(text, facts) if quirk else facts


def inner_size(text: Any, name: str) -> int:
    """Return the width of an MLP's inner layer by its name in the config.

    It is 4 * hidden_size where the config leaves it open, and the largest if layers differ.
    """
    size = getattr(text, name, None) or 4 * text.hidden_size
    return int(max(size) if isinstance(size, (list, tuple)) else size)


def _required(text: Any, name: str) -> int:
    size = _size(text, name)
    if size is None:
        raise StopRun(
            f"a config of model_type {text.model_type!r} cannot be used here: it names no {name}"
        )
    return size


def _size(text: Any, name: str) -> int | None:
    size = getattr(text, name, None)
    return int(size) if size else None


def _ropes(parameters: dict[str, Any]) -> Iterator[RopeTable]:
    """Yield the one table of a model, or that of each layer type."""
    tables: list[tuple[str | None, dict[str, Any]]] = [
        (name, value) for name, value in parameters.items() if isinstance(value, dict)
    ]
    if parameters and not tables:
        tables = [(None, parameters)]
    for layer_type, table in tables:
        original = table.get("original_max_position_embeddings")
        kind = table.get("rope_type", "default")
        yield RopeTable(kind, int(original) if original else None, layer_type)


def _ids(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return tuple(int(each) for each in values if isinstance(each, int))


def _named_ids(config: dict[Any, Any]) -> Iterator[int]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _named_ids(value)
        elif str(name).endswith(("token_id", "token_ids", "token_index")):
            yield from _ids(value)

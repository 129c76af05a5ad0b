"""Moving keys: a key computed at one position, read at another (RoPE, Su et al. 2021).

A rotary score depends on the distance of query and key alone, so a key moved by `shift` is
the key rotated by `shift`, and equally the query rotated by `-shift`. Whether a model's keys
are of this kind is not assumed: `can_move_keys` computes both and compares.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from worker.engine.probe import PROBE_TOKENS, Handed, differs, probe
from worker.engine.rotate import rotate
from worker.model.geometry import geometry_of

_FAR = 1 << 15
"""Positions up to which keys are moved and compared; beyond, float32 angles get coarse."""

_FIXED_FREQUENCIES = {"default", "linear", "llama3", "yarn"}


def rotation(model: PreTrainedModel, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [..., head_dim], that move keys by `shifts` positions [...]."""
    embed: Any = model.base_model.rotary_emb
    flat = shifts.reshape(1, -1).to(model.device)
    cos, sin = embed(torch.zeros(1, device=model.device), position_ids=flat)
    scale = float(getattr(embed, "attention_scaling", 1.0))
    return (cos / scale).view(*shifts.shape, -1), (sin / scale).view(*shifts.shape, -1)


def _gives_cos_and_sin(model: PreTrainedModel) -> bool:
    embed: Any = getattr(model.base_model, "rotary_emb", None)
    if embed is None:
        return False
    place = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    given = embed(torch.zeros(1, device=model.device), position_ids=place)
    return isinstance(given, tuple) and len(given) == 2


@torch.inference_mode()
def can_move_keys(model: PreTrainedModel) -> bool:
    """Whether a rotated key equals the key computed elsewhere, in every layer, and a query too.

    Tokens of the probe see themselves alone, so their hidden states are the same wherever they
    stand and their keys differ by their rotation only, also in half precision. A query that is
    scaled by its position is not the rotated one, and what a moved segment reads would change.
    """
    parameters = getattr(model.config, "rope_parameters", None) or {}
    if parameters.get("rope_type", "default") not in _FIXED_FREQUENCIES:
        return False
    if any(isinstance(value, dict) for value in parameters.values()):
        return False  # one table for each kind of layer
    if not _gives_cos_and_sin(model):
        return False
    sizes, number = geometry_of(model), len(PROBE_TOKENS)
    last = min(sizes.positions, _FAR) - number
    shifts = (0, min(103, max(1, last)), max(1, last))
    places = [shift + i for shift in shifts for i in range(number)]
    found = probe(model, PROBE_TOKENS * len(shifts), places)
    return all(_moved(model, call, shifts) for call in found.calls)


def _moved(model: PreTrainedModel, call: Handed, shifts: Sequence[int]) -> bool:
    """Whether queries and keys of one layer are the first ones, rotated by each shift."""
    number = call.key.shape[1] // len(shifts)
    for place, shift in enumerate(shifts):
        cos, sin = rotation(model, torch.full((number,), shift))
        if cos.shape[-1] != call.key.shape[-1]:
            return False
        # float32 places an angle by its size; the first frequency turns by the shift itself.
        tolerance = (1e-4 if model.dtype == torch.float32 else 0.01) + shift * 2**-23
        for rows, turned in ((call.query, True), (call.key, True), (call.value, False)):
            here, computed = rows[:, :number], rows[:, place * number :][:, :number]
            wanted = rotate(here, cos, sin) if turned else here
            if differs(computed, wanted, tolerance):
                return False
    return True

"""Moving keys: a key computed at one position is read at another (RoPE, Su et al. 2021).

A rotary score depends only on the distance of query and key. So a key moved by `offset` is the
key rotated by `offset`, or the query rotated by `-offset`. Whether this holds for a model is not
assumed: `can_move_keys` computes both and compares.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from worker.model.config_facts import ConfigFacts
from worker.model.probe import PROBE_TOKENS, AttentionInputs, differs, probe
from worker.model.rope import rotate, rotation

_LAST_COMPARED = 1 << 15
"""Keys are moved and compared up to this position; beyond it float32 angles get coarse."""

_FIXED_FREQUENCIES = {"default", "linear", "llama3", "yarn"}


def _gives_cos_and_sin(model: PreTrainedModel) -> bool:
    embed: Any = getattr(model.base_model, "rotary_emb", None)
    if embed is None:
        return False
    position = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    output = embed(torch.zeros(1, device=model.device), position_ids=position)
    return isinstance(output, tuple) and len(output) == 2


@torch.inference_mode()
def can_move_keys(model: PreTrainedModel, facts: ConfigFacts, positions: int) -> bool:
    """Whether rotated keys and queries equal those computed at the other position, in every layer.

    positions: the number that the model computes. The probe's tokens see themselves alone, so
    their hidden states do not depend on the position, and their keys differ by the rotation only,
    also in half precision. Queries are compared, too: if a model scales them by position, a moved
    segment would read other values.
    """
    if any(rope.kind not in _FIXED_FREQUENCIES for rope in facts.ropes):
        return False
    if any(rope.layer_type for rope in facts.ropes):
        return False  # The layer types have different frequencies.
    if not _gives_cos_and_sin(model):
        return False
    number = len(PROBE_TOKENS)
    last = min(positions, _LAST_COMPARED) - number
    offsets = (0, min(103, max(1, last)), max(1, last))
    places = [offset + i for offset in offsets for i in range(number)]
    output = probe(model, PROBE_TOKENS * len(offsets), places)
    return all(_is_rotated(model, call, offsets) for call in output.calls)


def _is_rotated(model: PreTrainedModel, call: AttentionInputs, offsets: Sequence[int]) -> bool:
    """Whether the queries and keys of a layer at each offset equal the first ones, rotated."""
    number = call.key.shape[1] // len(offsets)
    for place, offset in enumerate(offsets):
        cos, sin = rotation(model, torch.full((number,), offset))
        if cos.shape[-1] != call.key.shape[-1]:
            return False
        # The first frequency turns by the offset itself, whose float32 error grows with it.
        tolerance = (1e-4 if model.dtype == torch.float32 else 0.01) + offset * 2**-23
        for rows, rotates in ((call.query, True), (call.key, True), (call.value, False)):
            first, computed = rows[:, :number], rows[:, place * number :][:, :number]
            expected = rotate(first, cos, sin) if rotates else first
            if differs(computed, expected, tolerance):
                return False
    return True

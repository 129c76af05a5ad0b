"""The choice of an attention backend, from the settings or else from the device.

Every attention backend gives the same answer, so the choice decides speed only. A chosen backend
is never replaced.
"""

import logging

import torch
from transformers import PreTrainedModel

from common.errors import StopRun, first_line
from worker.engine.attention.backend import FLEX_MIN_TOKENS, AttentionBackend
from worker.engine.attention.cascade_prefill import CascadeBackend
from worker.engine.attention.flex import FlexBackend
from worker.engine.attention.mask_spec import segment_mask_spec
from worker.engine.attention.sdpa import SdpaBackend
from worker.engine.segments import Segment
from worker.model.compile_cache import compiling
from worker.model.geometry import geometry_of
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)

_SHORT = f"packs under {FLEX_MIN_TOKENS} tokens use sdpa"


def choose_attention(
    setting: str, model: PreTrainedModel
) -> tuple[AttentionBackend, ResolvedSetting]:
    """Return the backend that the setting names, or for "auto" the fastest one of the device.

    On a CPU FlexAttention evaluates the mask for every head and pair of tokens, which takes as
    long as all matrix products of a prefill. Raises StopRun like `choose_backend`.
    """
    if setting == "auto" and model.device.type == "cpu":
        return CascadeBackend(), ResolvedSetting("cascade", f"the fastest on a CPU; {_SHORT}")
    return choose_backend(setting, model)


def choose_backend(
    setting: str, model: PreTrainedModel
) -> tuple[AttentionBackend, ResolvedSetting]:
    """Return the backend that the setting names; for "auto" FlexAttention, or else SDPA.

    FlexAttention is compiled and compared with SDPA first. If it cannot be compiled, "auto"
    returns SDPA, with the dense mask of the same mask_mod, and "flex" raises StopRun. Raises
    StopRun if it compiles and gives another answer.
    """
    if setting == "cascade":
        return CascadeBackend(), ResolvedSetting(
            "cascade", f"SELF_ENSEMBLE_ATTENTION asks for it; {_SHORT}"
        )
    if setting == "sdpa":
        return SdpaBackend(), ResolvedSetting("sdpa", "SELF_ENSEMBLE_ATTENTION asks for it")
    try:
        with compiling():
            difference = flex_difference(model)
    except Exception as error:
        reason = f"flex_attention cannot be compiled here: {first_line(error)[:200]}"
        if setting == "flex":
            raise StopRun(f"{reason}; set SELF_ENSEMBLE_ATTENTION=sdpa") from error
        logger.warning("%s", reason)
        return SdpaBackend(), ResolvedSetting("sdpa", reason)
    # Negated, so that NaN stops the run, too.
    if not difference <= 0.05:
        raise StopRun(
            f"flex_attention differs from sdpa by {difference:.3g} on this machine; "
            "set SELF_ENSEMBLE_ATTENTION=sdpa and report it"
        )
    return FlexBackend(), ResolvedSetting("flex", f"compiled and equal to sdpa here; {_SHORT}")


@torch.inference_mode()
def flex_difference(model: PreTrainedModel) -> float:
    """Return the largest difference of flex and SDPA on random input of the model's shapes.

    This compiles the code that prefill uses, so the first shard need not.
    """
    sizes = geometry_of(model)
    kv_heads, dim = sizes.kv_heads, sizes.key_dim
    prefix = Segment((0,) * 301, 0)
    segments = [prefix, *(Segment((i,) * 17, 301, (prefix,)) for i in range(41))]
    slots, end = {}, 0
    for segment in segments:
        slots[segment] = range(end, end := end + len(segment.tokens))
    num_q, device = end - 301, str(model.device)
    generator = torch.Generator(device).manual_seed(0)
    shapes = [
        (1, num_q, sizes.heads, dim),
        (1, kv_heads, end, dim),
        (1, kv_heads, end, sizes.value_dim),
    ]
    query, key, value = (
        torch.randn(s, generator=generator, device=device, dtype=model.dtype) for s in shapes
    )
    # Transposed, as a model passes it: torch compiles for strides.
    query = query.transpose(1, 2)
    spec = segment_mask_spec(slots, 301, device)
    backends: tuple[AttentionBackend, ...] = (FlexBackend(), SdpaBackend())
    flex, sdpa = (
        backend(query, key, value, backend.create_mask(spec, num_q, end, device), dim**-0.5)
        for backend in backends
    )
    return float((flex - sdpa).abs().max())

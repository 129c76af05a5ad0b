"""The choice of an attention backend, from the settings or else from the device.

Choosing never changes what is computed, only how: every attention backend gives the same
answer, and none is swapped for another after it was chosen.
"""

import logging

import torch
from transformers import PreTrainedModel

from common.errors import StopRun, first_line
from worker.engine.attention import FLEX_MIN_TOKENS, AttentionBackend, FlexBackend, SdpaBackend
from worker.engine.cascade_backend import CascadeBackend
from worker.engine.kv_cache import segment_mods
from worker.engine.plan import Segment
from worker.model.compile_cache import compiling
from worker.model.geometry import geometry_of
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)

_SHORT = f"packs under {FLEX_MIN_TOKENS} tokens use sdpa"


def choose_attention(
    setting: str, model: PreTrainedModel
) -> tuple[AttentionBackend, ResolvedSetting]:
    """The backend a worker takes: of its setting, or the fastest one of its device.

    On a CPU FlexAttention evaluates the mask for every head and pair, which takes as long as
    all matrix products of a prefill.
    """
    if setting == "auto" and model.device.type == "cpu":
        return CascadeBackend(), ResolvedSetting("cascade", f"the fastest on a CPU; {_SHORT}")
    return choose_backend(setting, model)


def choose_backend(
    setting: str, model: PreTrainedModel
) -> tuple[AttentionBackend, ResolvedSetting]:
    """FlexAttention where it compiles and agrees with SDPA here; raises StopRun if not so.

    "auto" takes SDPA with the dense mask of the same mask_mod where FlexAttention cannot be
    compiled. A backend that compiles and gives another answer is never passed over in silence.
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
    # Written so that NaN stops the run, too.
    if not difference <= 0.05:
        raise StopRun(
            f"flex_attention differs from sdpa by {difference:.3g} on this machine; "
            "set SELF_ENSEMBLE_ATTENTION=sdpa and report it"
        )
    return FlexBackend(), ResolvedSetting("flex", f"compiled and equal to sdpa here; {_SHORT}")


@torch.inference_mode()
def flex_difference(model: PreTrainedModel) -> float:
    """Largest difference of the two backends on random input of the model's shapes.

    Compiles what prefill will use, so the first shard does not pay for it.
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
    # As a model hands it over: strides are part of what is compiled for.
    query = query.transpose(1, 2)
    mods = segment_mods(slots, 301, device)
    backends: tuple[AttentionBackend, ...] = (FlexBackend(), SdpaBackend())
    flex, sdpa = (
        backend(query, key, value, backend.create_mask(mods, num_q, end, device), dim**-0.5)
        for backend in backends
    )
    return float((flex - sdpa).abs().max())

"""Compilation: whether a model's layers and decode operations are compiled, said and checked.

Compiled code computes the same in fewer passes over memory. It is checked against the code as
written before it answers anything; where it cannot be had, the code as written goes on.
"""

import logging

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.errors import StopRun, first_line
from worker.engine.attention import AttentionBackend
from worker.engine.cascade import Attend, Own, cascade, compiled_cascade, shared_keys
from worker.engine.cascade_backend import CascadeBackend, compiled_attend_rows
from worker.engine.compiled import compile_layers, leave_layers
from worker.engine.decode_ops import compiled_ops
from worker.engine.engine import Engine
from worker.engine.kv_cache import KVCache, prefill
from worker.engine.plan import Segment
from worker.model.compile_cache import compiling
from worker.model.geometry import geometry_of
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)

COMPILE_FROM = 2000
"""Samples of a run from which compiling saves more time than it takes.

It took 17 s on 2 cores from code kept on disk, and a minute more the first time. SmolLM2-135M then
takes 33 ms for a question instead of 40; larger models save more, but the same share."""

TOO_FEW = f"below {COMPILE_FROM} samples compiling takes longer than it saves"
ASKED_FOR = "SELF_ENSEMBLE_COMPILE asks for it"


def wants_compiled(setting: str, num_samples: int | None) -> ResolvedSetting:
    """Whether to compile for a run of so many samples; None for one that is not known yet."""
    if setting != "auto":
        value = "compiled" if setting == "always" else "eager"
        return ResolvedSetting(value, ASKED_FOR)
    if num_samples is not None and num_samples < COMPILE_FROM:
        return ResolvedSetting("eager", TOO_FEW)
    return ResolvedSetting(
        "compiled", f"from {COMPILE_FROM} samples on it saves more than it takes"
    )


def compile_engine(wanted: ResolvedSetting, engine: Engine) -> ResolvedSetting:
    """Compile an engine if that is wanted, and say what came of it.

    Raises StopRun where compiled code gives another answer, or cannot be had though asked for.
    """
    if wanted.value == "eager":
        return wanted
    backend = engine.backend
    if backend.name == "cascade":
        backend = CascadeBackend(compiled_attend_rows())
    try:
        with compiling():
            attend = cascade_difference(compiled_cascade(), engine.model)
            layers = layer_difference(engine.model, engine.backend, backend)
    except Exception as error:
        leave_layers(engine.model)
        reason = f"it cannot be compiled here: {first_line(error)[:200]}"
        if wanted.reason == ASKED_FOR:
            raise StopRun(f"{reason}; set SELF_ENSEMBLE_COMPILE=never") from error
        logger.warning("the engine goes on as written: %s", reason)
        return ResolvedSetting("eager", reason)
    difference = _largest(attend, layers)
    # Written so that NaN stops the run, too.
    if not difference <= (1e-3 if engine.model.dtype == torch.float32 else 0.1):
        raise StopRun(
            f"compiled code differs from the code as written by {difference:.3g} on this "
            "machine; set SELF_ENSEMBLE_COMPILE=never and report it"
        )
    engine.backend, engine.ops = backend, compiled_ops()
    return ResolvedSetting("compiled", f"{wanted.reason}; equal to eager here")


@torch.inference_mode()
def cascade_difference(compiled: Attend, model: PreTrainedModel) -> float:
    """Relative difference of decoding's attention, compiled and as written, on random input."""
    sizes = geometry_of(model)
    kv_heads, dim, value_dim = sizes.kv_heads, sizes.key_dim, sizes.value_dim
    group = sizes.heads // kv_heads
    generator = torch.Generator(str(model.device)).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=model.dtype, device=model.device)

    rows, views = 37, 5
    query = random(rows, kv_heads, group, 1, dim)
    rotated = random(rows, views, dim).float(), random(rows, views, dim).float()
    keys, values = random(kv_heads, 101, dim), random(kv_heads, 101, value_dim)
    # A part of a cache, as in decoding: strides are part of what is compiled for.
    own_keys = random(rows, kv_heads, dim, 31)[..., :29].transpose(-1, -2)
    own_values = random(rows, kv_heads, 31, value_dim)[..., :29, :]
    own = Own(own_keys, own_values, random(rows, 1, 29).float())
    found = []
    for number, rotation in ((1, None), (views, rotated)):
        shared = shared_keys(keys, values, random(rows, number, 101).float(), rotation)
        found.append(relative(compiled(query, shared, own), cascade(query, shared, own)))
    return _largest(*found)


@torch.inference_mode()
def layer_difference(
    model: PreTrainedModel, backend: AttentionBackend, compiled: AttentionBackend
) -> float:
    """Compile the layers; the relative difference of a row's values before and after."""
    prefix = Segment((5,) * 101, 0)
    segments = [prefix, *(Segment((i, 7) * (5 + i % 3), 101, (prefix,)) for i in range(41))]
    before = _prefilled(model, backend, prefix, segments)
    compile_layers(model)
    return relative(_prefilled(model, compiled, prefix, segments), before)


def _prefilled(
    model: PreTrainedModel, backend: AttentionBackend, prefix: Segment, segments: list[Segment]
) -> Tensor:
    cached = prefill(model, backend, [prefix], KVCache.empty(model))
    return prefill(model, backend, segments, cached).values


def _largest(*differences: float) -> float:
    """NaN if one of them is, which `max` may pass over."""
    return float(torch.tensor(differences).max())


def relative(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over that of what is wanted."""
    return float((found - wanted).float().norm() / wanted.float().norm())

"""Compilation: decides whether an engine is compiled, compiles it, and checks the result.

Compiled code computes the same answers in fewer passes over memory. It is compared with the eager
code before it answers anything. If nothing can be compiled, the engine stays eager.
"""

import logging

import torch
from torch import Tensor
from transformers import PreTrainedModel

from common.errors import StopRun, first_line
from worker.engine.attention.backend import AttentionBackend
from worker.engine.attention.cascade import AttendCascade, cascade, compiled_cascade, pad_prefix
from worker.engine.compiled import compile_layers, uncompile_layers
from worker.engine.decode_ops import compiled_ops
from worker.engine.engine import Engine
from worker.engine.model_runner import ModelRunner
from worker.engine.prefix_tree import Pack
from worker.engine.segments import Segment
from worker.model.compile_cache import compiling
from worker.model.geometry import geometry_of
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)

COMPILE_FROM = 2000
"""Runs of at least this many samples gain more time from compiling than it takes.

Compiling took 17 s on 2 cores with code kept on disk, and a minute more the first time.
SmolLM2-135M then takes 33 ms for a question instead of 40; larger models save the same share."""

TOO_FEW = f"below {COMPILE_FROM} samples compiling takes longer than it saves"
ASKED_FOR = "SELF_ENSEMBLE_COMPILE asks for it"


def wants_compiled(setting: str, num_samples: int | None) -> ResolvedSetting:
    """Decide whether to compile for a run of `num_samples` samples; None if not known yet."""
    if setting != "auto":
        value = "compiled" if setting == "always" else "eager"
        return ResolvedSetting(value, ASKED_FOR)
    if num_samples is not None and num_samples < COMPILE_FROM:
        return ResolvedSetting("eager", TOO_FEW)
    return ResolvedSetting(
        "compiled", f"from {COMPILE_FROM} samples on it saves more than it takes"
    )


def compile_engine(wanted: ResolvedSetting, engine: Engine) -> ResolvedSetting:
    """Compile an engine if `wanted` says so; returns what it runs with and why.

    Raises StopRun if compiled code gives another answer, or if nothing can be compiled although
    the setting asks for it.
    """
    if wanted.value == "eager":
        return wanted
    backend = engine.runner.backend.compiled()
    try:
        with compiling():
            attend = cascade_difference(compiled_cascade(), engine.model)
            layers = layer_difference(engine.runner, backend)
    except Exception as error:
        uncompile_layers(engine.model)
        reason = f"it cannot be compiled here: {first_line(error)[:200]}"
        if wanted.reason == ASKED_FOR:
            raise StopRun(f"{reason}; set SELF_ENSEMBLE_COMPILE=never") from error
        logger.warning("the engine goes on as written: %s", reason)
        return ResolvedSetting("eager", reason)
    difference = _largest(attend, layers)
    # Negated, so that NaN stops the run, too.
    if not difference <= (1e-3 if engine.model.dtype == torch.float32 else 0.1):
        raise StopRun(
            f"compiled code differs from the code as written by {difference:.3g} on this "
            "machine; set SELF_ENSEMBLE_COMPILE=never and report it"
        )
    engine.runner.backend, engine.runner.ops = backend, compiled_ops()
    return ResolvedSetting("compiled", f"{wanted.reason}; equal to eager here")


@torch.inference_mode()
def cascade_difference(compiled: AttendCascade, model: PreTrainedModel) -> float:
    """Return the relative difference of compiled and eager cascade attention on random input."""
    sizes = geometry_of(model)
    kv_heads, dim, value_dim = sizes.kv_heads, sizes.key_dim, sizes.value_dim
    group = sizes.heads // kv_heads
    generator = torch.Generator(str(model.device)).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=model.dtype, device=model.device)

    rows, num_offsets = 37, 5
    query = random(rows, kv_heads, group, 1, dim)
    rotation = random(rows, num_offsets, dim).float(), random(rows, num_offsets, dim).float()
    keys, values = random(kv_heads, 101, dim), random(kv_heads, 101, value_dim)
    # A slice of a larger cache, as in decoding: torch compiles for strides.
    suffix_keys = random(rows, kv_heads, dim, 31)[..., :29].transpose(-1, -2)
    suffix_values = random(rows, kv_heads, 31, value_dim)[..., :29, :]
    suffix = suffix_keys, suffix_values, random(rows, 1, 29).float()
    differences = []
    for number, moves in ((1, None), (num_offsets, rotation)):
        prefix = pad_prefix(keys, values, random(rows, 1, number, 101).float())
        computed, expected = (
            attend(query, *prefix, *suffix, rotation=moves) for attend in (compiled, cascade)
        )
        differences.append(relative_difference(computed, expected))
    return _largest(*differences)


@torch.inference_mode()
def layer_difference(runner: ModelRunner, compiled: AttentionBackend) -> float:
    """Compile the layers; returns the relative difference of a row's values before and after."""
    prefix = Segment((5,) * 101, 0)
    segments = [Segment((i, 7) * (5 + i % 3), 101, (prefix,)) for i in range(41)]
    before = _prefilled(runner, prefix, segments)
    compile_layers(runner.model)
    other = ModelRunner(runner.model, runner.geometry, compiled, runner.ops)
    return relative_difference(_prefilled(other, prefix, segments), before)


def _prefilled(runner: ModelRunner, prefix: Segment, segments: list[Segment]) -> Tensor:
    cache = runner.prefill(Pack.of([prefix]), runner.empty_cache())
    return runner.prefill(Pack.of(segments, (prefix,)), cache).values


def _largest(*differences: float) -> float:
    """Return the largest number, or NaN if any is NaN, which `max` may pass over."""
    return float(torch.tensor(differences).max())


def relative_difference(computed: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of `expected`."""
    return float((computed - expected).float().norm() / expected.float().norm())

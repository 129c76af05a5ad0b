"""Verification: an engine whose code was chosen or compiled passes the canary before it answers.

An attention backend that cannot be compiled gives way to the next candidate, and compiled layers
to eager ones, unless a setting asks for compiled code. Code that gives another answer stops the
run.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from common.errors import StopRun, first_line
from worker.engine.attention.choose import Candidate, short_form
from worker.engine.canary import check_engine
from worker.engine.canary_prompts import NEW_TOKENS
from worker.engine.compilation import (
    ASKED_FOR,
    COMPILED,
    compile_layers,
    refuse_eager_layers,
    uncompile_layers,
)
from worker.engine.engine import Engine
from worker.model.compile_cache import compiling
from worker.model.memory import is_out_of_memory
from worker.model.resolved_setting import ResolvedSetting

logger = logging.getLogger(__name__)


def give_backend(engine: Engine, candidates: Sequence[Candidate]) -> ResolvedSetting:
    """Give an engine the first backend that can be compiled here; returns what it resolves to.

    Raises StopRun if the engine differs from its model with that backend, or if the only
    candidate cannot be compiled.
    """
    reasons: list[str] = []
    for backend, setting in candidates:
        engine.runner.backend = backend
        try:
            _check(engine)
        except StopRun as error:
            if not backend.compiles:
                raise
            raise StopRun(
                f"attention backend {backend.name}: {error}; set SELF_ENSEMBLE_ATTENTION="
                f"{short_form(engine.geometry.softcap).name} and report it"
            ) from None
        except Exception as error:
            if not backend.compiles or _is_of_the_device(error):
                raise
            reasons.append(f"{backend.name} cannot be compiled here: {first_line(error)[:200]}")
            logger.warning("%s", reasons[-1])
        else:
            return replace(setting, reason="; ".join([*reasons, setting.reason]))
    raise StopRun(f"{reasons[-1]}; set SELF_ENSEMBLE_ATTENTION=auto")


def compile_engine(wanted: ResolvedSetting, engine: Engine) -> ResolvedSetting:
    """Compile an engine if `wanted` says so; returns what it runs with and why.

    Raises StopRun if compiled code gives another answer, or if nothing can be compiled although
    the setting asks for compiled code.
    """
    if wanted.value == "eager":
        return wanted
    eager = engine.runner.backend, engine.runner.ops
    try:
        _compile(engine)
    except StopRun as error:
        raise StopRun(f"compiled: {error}; set SELF_ENSEMBLE_COMPILE=never") from None
    except Exception as error:
        if _is_of_the_device(error):
            raise
        uncompile_layers(engine.model)
        engine.runner.backend, engine.runner.ops = eager
        reason = f"it cannot be compiled here: {first_line(error)[:200]}"
        if wanted.reason == ASKED_FOR:
            raise StopRun(f"{reason}; set SELF_ENSEMBLE_COMPILE=never") from error
        logger.warning("the engine goes on as written: %s", reason)
        return ResolvedSetting("eager", reason)
    return ResolvedSetting("compiled", f"{wanted.reason}; equal to eager here")


def _compile(engine: Engine) -> None:
    """Compile layers and operations, and run the canary, whose calls make torch compile."""
    compile_layers(engine.model)
    runner = engine.runner
    runner.backend, runner.ops = runner.backend.compiled(), COMPILED
    # Prefill, and every step of the canary.
    with refuse_eager_layers(engine.model, least=1 + NEW_TOKENS):
        _check(engine)


def _is_of_the_device(error: Exception) -> bool:
    """Whether memory ran out or the device is at fault, which says nothing of the compiler."""
    return isinstance(error, torch.AcceleratorError) or is_out_of_memory(error)


def _check(engine: Engine) -> None:
    with compiling():
        comparison = check_engine(engine)
    logger.info("equal to transformers' eager attention: %s", comparison)

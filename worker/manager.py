"""The model manager: holds the one model of this process until another takes its place.

It remembers the memory budget that each model ended with, for as long as the process lives.
Effects on the whole process that need torch or a loaded model live here; all others are in
`worker.host`.
"""

import gc
import logging
from functools import partial
from typing import NamedTuple

import torch

from common.errors import RetryShard, StopRun, UnusableModel, UsageError, first_line
from common.models import ModelSource, find_model, with_revision
from common.run import RunSpec
from common.settings import Settings
from worker.engine.attention.choose import attention_candidates
from worker.engine.budget import Budget, choose_budget
from worker.engine.compilation import wants_compiled
from worker.engine.engine import Engine
from worker.engine.verification import compile_engine, give_backend
from worker.host import keep_freed_memory
from worker.loaded_engine import LoadedEngine
from worker.model.compile_cache import precompiles_headers
from worker.model.device import choose_device, choose_dtype, device_name
from worker.model.geometry import geometry_of
from worker.model.loader import LoadedModel, load_model
from worker.model.memory import is_out_of_memory, release
from worker.model.resolved_setting import ResolvedSetting
from worker.sick_device import end_process_if_sick

logger = logging.getLogger(__name__)


class _ModelKey(NamedTuple):
    """Identity of a loaded model on this worker. dtype: as asked for, may be "auto"."""

    location: str
    revision: str | None
    dtype: str


class ModelManager:
    """Holds one engine at a time. slot: number of this process on its host."""

    def __init__(self, settings: Settings, slot: int) -> None:
        self._settings = settings
        self._slot = slot
        self._name: str | None = None
        self._key: _ModelKey | None = None
        self._loaded: LoadedEngine | None = None
        self._budgets: dict[_ModelKey, Budget] = {}

    @property
    def held(self) -> str | None:
        """The name of the model that is loaded, if any."""
        return self._name if self._loaded else None

    def warm_up(
        self,
        model: str,
        dtype: str,
        num_samples: int | None = None,
        revision: str | None = None,
    ) -> None:
        """Load a model and compile its code. A failure is only logged: the first shard meets it
        again and stops the run.
        """
        try:
            location = find_model(model, revision).location
            self.engine_of(model, location, dtype, num_samples, revision)
        except Exception as error:
            logger.warning("model %s could not be warmed: %s", model, first_line(error))
        else:
            logger.info("model %s is warm", model)

    def engine_for(self, spec: RunSpec) -> LoadedEngine:
        """The engine for a run's model and dtype. Raises UnusableModel if it cannot be made."""
        return self.engine_of(
            spec.model, spec.model_source, spec.dtype, spec.num_samples, spec.revision
        )

    def engine_of(
        self,
        model: str,
        location: str,
        dtype: str,
        num_samples: int | None,
        revision: str | None = None,
    ) -> LoadedEngine:
        """The engine for a model and a dtype; loads the model again if its files were replaced.

        Raises UnusableModel for every error of loading.

        model: the name; location: that of its source. dtype: as asked for, may be "auto".
        num_samples: those of the run, if known; a small run is not worth compiling for.
        revision: of a hub model; two revisions are two models.
        """
        try:
            return self._engine_of(model, _ModelKey(location, revision, dtype), num_samples)
        except RetryShard:
            raise
        except StopRun as error:
            raise UnusableModel(str(error)) from error
        except Exception as error:
            end_process_if_sick(error)
            logger.exception("model %s cannot be used", model)
            raise UnusableModel(_cannot_be_used(model, error)) from error

    def _engine_of(self, model: str, key: _ModelKey, num_samples: int | None) -> LoadedEngine:
        if self._loaded is None or self._key != key or self._loaded.files.changed():
            self._unload()
            self._loaded = self._load(model, key, self._budgets.get(key))
            self._key, self._name = key, with_revision(model, key.revision)
            _keep_out_of_collections()
        wanted = wants_compiled(self._settings.compile, num_samples)
        if self._loaded.compiles(wanted):
            try:
                layers = compile_engine(wanted, self._loaded.engine)
            except StopRun:
                self._unload()
                raise
            self._loaded = self._loaded.with_layers(_log(model, "layers", layers))
            _keep_out_of_collections()
        return self._loaded

    def _unload(self) -> None:
        if self._loaded and self._key and self._loaded.budget != self._loaded.engine.budget:
            self._budgets[self._key] = self._loaded.engine.budget
        self._loaded, self._key = None, None
        torch.compiler.reset()
        gc.unfreeze()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, model: str, key: _ModelKey, known: Budget | None) -> LoadedEngine:
        """Load a model and make its engine. known: the budget that it ended with last time."""
        log = partial(_log, model)
        _precompile_headers_if_allowed()
        device = log("device", choose_device(self._settings.device, self._slot))
        if device.value == "cpu":
            keep_freed_memory()
        dtype = log("dtype", choose_dtype(key.dtype, device.value))
        loaded = _load_weights(_source(model, key.revision), dtype.value, device.value)
        engine, attention = self._checked_engine(loaded)
        log("attention", attention)
        limits = self._limit(engine, known)
        for name, setting in (limits | loaded.notes).items():
            log(name, setting)
        choices = {"device": device, "dtype": dtype, "attention": attention} | loaded.notes
        values = {name: choice.value for name, choice in choices.items()}
        reasons = {name: choice.reason for name, choice in choices.items()}
        reasons |= {name: str(limit) for name, limit in limits.items()}
        # Not the GPU's number: runs answered on several like ones are not mixed.
        values["device"] = device_name(device.value)
        return LoadedEngine(engine, loaded.identity, values, reasons, engine.budget, loaded.files)

    def _checked_engine(self, loaded: LoadedModel) -> tuple[Engine, ResolvedSetting]:
        """Make an engine whose attention backend has passed the canary; returns the backend, too.

        Raises StopRun if the engine differs from its model.
        """
        model = loaded.model
        candidates = attention_candidates(
            self._settings.attention, model.device.type, geometry_of(model).softcap
        )
        engine = Engine(model, loaded.tokenizer, candidates[0].backend)
        return engine, give_backend(engine, candidates)

    def _limit(self, engine: Engine, known: Budget | None) -> dict[str, ResolvedSetting]:
        """Give an engine its budget, at most `known`; returns the limits with their reasons."""
        budget, limits = choose_budget(self._settings, engine.model, engine.runner.backend)
        if known:
            budget = budget.at_most(known)
            limits["memory"] = ResolvedSetting(
                str(budget), "it ran out with more when last loaded"
            )
        engine.budget = budget
        return limits


def _keep_out_of_collections() -> None:
    """Keep a loaded model out of Python's garbage collections: each would take half a second."""
    gc.collect()
    gc.freeze()


def _precompile_headers_if_allowed() -> None:
    """Give torch the setting of the environment, which torch 2.11 does not read."""
    # Not above: torch reads its variables at this import, after `worker.tasks` has set them.
    from torch._inductor import config

    config.cpp_cache_precompile_headers = precompiles_headers()


def _log(model: str, name: str, choice: ResolvedSetting) -> ResolvedSetting:
    logger.info("model %s: %s is %s", model, name, choice)
    return choice


def _cannot_be_used(model: str, error: Exception) -> str:
    if is_out_of_memory(error):
        release(error)
        return f"model {model}: memory ran out while its engine was made: {first_line(error)}"
    return (
        f"model {model}: no engine can be made of it on this worker: {type(error).__name__}: "
        f"{first_line(error)}; the worker's log has the traceback, please report it"
    )


def _load_weights(source: ModelSource, dtype: str, device: str) -> LoadedModel:
    try:
        return load_model(source, dtype, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        release(error)
        raise StopRun(
            f"model {source.slug} in {dtype} does not fit into the free memory of {device} on "
            f"this worker: {first_line(error)}"
        ) from None


def _source(model: str, revision: str | None) -> ModelSource:
    try:
        return find_model(model, revision)
    except UsageError as error:
        raise StopRun(f"{error} (on this worker)") from None

"""The runtime: the model this process holds. It stays loaded; another model takes its place."""

import gc
import logging
from dataclasses import dataclass

import torch

from common.config import Settings
from common.errors import StopRun, UsageError
from common.models import ModelSource, find_model
from common.run import RunSpec
from worker.choices import choose_device, choose_dtype, choose_kernel, device_name
from worker.engine.engine import Engine
from worker.weights import load_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedEngine:
    """An engine, the identity of its weights, and what was chosen for it, and why."""

    engine: Engine
    identity: str
    choices: dict[str, str]
    reasons: dict[str, str]


class Runtime:
    """Holds one engine at a time; `slot` is this process's number on its host."""

    def __init__(self, settings: Settings, slot: int) -> None:
        self._settings = settings
        self._slot = slot
        self._key: tuple[str, str] | None = None
        self._held: LoadedEngine | None = None

    def engine_for(self, spec: RunSpec) -> LoadedEngine:
        """The engine for a run's model and dtype; raises StopRun where it cannot be had."""
        key = (spec.model_source, spec.dtype)
        if self._held is None or self._key != key:
            self._unload()
            self._held = self._load(spec)
            self._key = key
        return self._held

    def _unload(self) -> None:
        self._held, self._key = None, None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, spec: RunSpec) -> LoadedEngine:
        device = choose_device(self._settings.device, self._slot)
        dtype = choose_dtype(spec.dtype, device.value)
        loaded = load_model(_source(spec), dtype.value, device.value)
        kernel, attention = choose_kernel(self._settings.attention, loaded.model)
        choices = {"device": device, "dtype": dtype, "attention": attention}
        for name, choice in choices.items():
            logger.info("model %s: %s is %s", spec.model, name, choice)
        engine = Engine(
            loaded.model,
            loaded.tokenizer,
            kernel,
            self._settings.pack_tokens,
            int(self._settings.kv_cache_gib * 2**30),
        )
        values = {name: choice.value for name, choice in choices.items()}
        reasons = {name: choice.reason for name, choice in choices.items()}
        # Not the GPU's number: runs answered on several like ones are not mixed.
        values["device"] = device_name(device.value)
        return LoadedEngine(engine, loaded.identity, values, reasons)


def _source(spec: RunSpec) -> ModelSource:
    try:
        return find_model(spec.model)
    except UsageError as error:
        raise StopRun(f"{error} (on this worker)") from None

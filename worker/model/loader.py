"""Loader: a model source -> model and tokenizer on a device, and the identity of both.

Reads safetensors only and never runs code from a repository. A missing or damaged model raises
StopRun with the file if it is known, the reason, and what to do.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from common.errors import StopRun
from common.model_files import differing
from common.models import ModelSource
from worker.model.beyond_greedy import unapplied_settings
from worker.model.checkpoint import LoadingInfo, refuse_incomplete, unread_tensors
from worker.model.memory import is_out_of_memory
from worker.model.model_place import NO_FOLDER, Files, ModelPlace, find_place
from worker.model.resolved_setting import ResolvedSetting


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to compute.

    identity: the hub id and commit, or a hash over the files. notes: parts of the checkpoint
    that are not used, by their kind: `tensors`, `generation`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: str
    files: Files = NO_FOLDER
    notes: dict[str, ResolvedSetting] = field(default_factory=dict)


def load_model(source: ModelSource, dtype: str, device: str) -> LoadedModel:
    """Load a model. Raises StopRun if it cannot be loaded whole."""
    place = find_place(source)
    files = place.files
    tokenizer = place.read(AutoTokenizer.from_pretrained)
    model, info = _read_model(place, dtype)
    refuse_incomplete(info, f"model {source.slug}: the checkpoint {place.folder}")
    identity = place.identity()
    if names := differing(files.stamp, place.files.stamp):
        raise StopRun(f"model {source.slug}: {names[0]} of {place.folder} changed while loading")
    notes = unread_tensors(info) | unapplied_settings(model)
    return LoadedModel(model.to(device), tokenizer, identity, files, notes)


def _read_model(place: ModelPlace, dtype: str) -> tuple[Any, LoadingInfo]:
    both: Any = place.read(
        AutoModelForCausalLM.from_pretrained,
        is_out_of_memory,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # So that the info names them: refuse_incomplete does.
    )
    model, info = both
    return model, info

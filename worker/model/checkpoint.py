"""Checkpoints: checks that a model's files are whole and that no tensor is missing.

transformers initialises missing tensors at random, and only logs their names.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from common.errors import StopRun, first_line
from common.model_files import model_files
from worker.model.resolved_setting import ResolvedSetting

LoadingInfo = dict[str, Any]
"""The second value of `from_pretrained(..., output_loading_info=True)`: keys that did not fit."""

_POINTER = b"version https://git-lfs"
_MOST_NAMES = 4

_SCALE = re.compile(r"\.(weight_\w*scale\w*|scales|qzeros|SCB|(weight\.)?absmax)$")
"""Matches names of tensors by which quantised weights are scaled or shifted."""


def refuse_silent_damage(folder: Path, model: str) -> None:
    """Raise StopRun for damage that transformers ignores silently.

    A clone without git-lfs leaves text pointers in place of files: a vocabulary of three words.
    With a damaged generation configuration a model has other stop tokens.
    """
    for path in model_files(folder):
        reason = _pointer(path)
        if reason is None and path.name == "generation_config.json":
            reason = _damaged(path)
        if reason:
            raise StopRun(f"{model}: {reason}")


def find_damage(folder: Path) -> str | None:
    """Name and fault of the first damaged file in a folder; None if every file can be read."""
    reasons = (_pointer(path) or _damaged(path) for path in model_files(folder))
    return next((reason for reason in reasons if reason), None)


def _pointer(path: Path) -> str | None:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) != _POINTER:
            return None
    return (
        f"{path} is a Git LFS pointer, a few lines of text in place of the file; `git lfs pull` "
        "in its repository, or `hf download`, gets the file"
    )


def _damaged(path: Path) -> str | None:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np"):
                pass
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
    except (SafetensorError, ValueError, OSError) as error:
        size = f"{path.stat().st_size:,} bytes"
        return f"{path} ({size}) is damaged or cut off: {first_line(error)}; copy it anew"
    return None


def refuse_incomplete(info: LoadingInfo, model: str) -> None:
    """Raise StopRun if tensors are missing, have another shape, or lost their scales.

    Tied tensors that transformers found elsewhere do not count as missing.
    """
    unexpected = sorted(info["unexpected_keys"])
    if missing := sorted(info["missing_keys"]):
        other = f"; the file has {_first(unexpected)} instead" if unexpected else ""
        raise StopRun(
            f"{model} lacks {_tensors(missing)} of its architecture, {_first(missing)}, which "
            f"would be random numbers{other}. Give a checkpoint saved by save_pretrained of the "
            "causal language model"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        name, has, needs = mismatched[0]
        raise StopRun(
            f"{model} has {_tensors(mismatched)} of another shape than its config.json asks for, "
            f"such as {name}: {list(has)} in the file, {list(needs)} by config.json; give the "
            "config.json that was saved with the weights"
        )
    if scales := [name for name in unexpected if _SCALE.search(name)]:
        raise StopRun(
            f"{model} holds quantised weights and config.json says nothing of it: "
            f"{_tensors(scales)}, {_first(scales)}, would be left unread. Give the config.json "
            "with its quantization_config, or an unquantised copy"
        )


def unread_tensors(info: LoadingInfo) -> dict[str, ResolvedSetting]:
    """A note `tensors` of tensors that the architecture does not use; empty if there are none."""
    unexpected = sorted(info["unexpected_keys"])
    if not unexpected:
        return {}
    reason = f"the architecture has no place for {_first(unexpected)}"
    return {"tensors": ResolvedSetting(f"{len(unexpected)} unread", reason)}


def _tensors(names: list[Any]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''}"


def _first(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more

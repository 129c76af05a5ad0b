"""Files of a model on this host, if any: where they are, and what their JSON says.

Imports no library of models: the producer installs none.
"""

import json
import os
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from common.models import ModelSource


def model_folders(model: ModelSource) -> list[Path]:
    """The folders that hold files of the model: several commits of a hub model, or none."""
    if model.kind == "directory":
        return [Path(model.location)]
    if model.kind == "gguf_package":
        return [user_cache_path("self-ensemble") / "models" / model.slug]
    repository = _hub_cache() / f"models--{model.location.replace('/', '--')}"
    commit = _commit(repository, model.revision or "main")
    if commit is None and model.revision is not None:
        return []
    return sorted((repository / "snapshots").glob(commit or "*"))


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON file; {} if it is missing or damaged, which the worker will report."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _commit(repository: Path, revision: str) -> str | None:
    """The commit of a revision, which may be a commit itself; None if unknown on this host."""
    try:
        return (repository / "refs" / revision).read_text().strip()
    except (OSError, ValueError):
        is_commit = "/" not in revision and (repository / "snapshots" / revision).is_dir()
        return revision if is_commit else None


def _hub_cache() -> Path:
    """The cache folder by the rules of huggingface_hub.

    That library decides at import whether it works offline, so it is not imported here.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{cache}/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()

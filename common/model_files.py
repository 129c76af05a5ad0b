"""Model files: the files of a folder that decide a model's answers, and their identity.

Imports neither torch nor transformers, so that a producer can tell whether a folder has changed.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DECIDING = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "added_tokens.json",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "chat_template*",
    "additional_chat_templates/*.jinja",
)
"""Weights, configuration, generation configuration, tokenizer and chat templates."""

Stamp = dict[str, tuple[int, int]]
"""Size in bytes and modification time in nanoseconds, by file name: cheap, but no proof."""

_MOST_THREADS = 8


def model_files(folder: Path) -> list[Path]:
    """List the deciding files of a folder, ordered by name."""
    files = {path for pattern in DECIDING for path in folder.glob(pattern) if path.is_file()}
    return sorted(files)


def stamp_of(folder: Path) -> Stamp:
    """Return the stamp of the deciding files; empty for a folder that does not exist."""
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in model_files(folder)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def differing(one: Stamp, other: Stamp) -> list[str]:
    """List the files that only one stamp has, or that differ between the two.

    >>> differing({"a": (1, 5), "b": (2, 5)}, {"b": (2, 7), "c": (3, 5)})
    ['a', 'b', 'c']
    """
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def folder_identity(folder: Path) -> str:
    """Return `sha256:` and a hash over the names and contents of the deciding files.

    Files are hashed in threads, about 2 GB/s for each core that has instructions for SHA-256.
    """
    files = model_files(folder)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(_digest, files))
    whole = hashlib.sha256()
    for path, digest in zip(files, digests, strict=True):
        whole.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _digest(path: Path) -> str:
    if path.name.endswith("config.json"):
        return hashlib.sha256(_configuration(path.read_bytes())).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _configuration(content: bytes) -> bytes:
    """Drop the transformers version from a configuration: it decides no answer."""
    try:
        fields = json.loads(content)
    except ValueError:
        return content
    if not isinstance(fields, dict):
        return content
    fields.pop("transformers_version", None)
    return json.dumps(fields, sort_keys=True).encode()

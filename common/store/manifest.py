"""The manifest of a merged file: what its parts held when it was made."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from common.errors import UsageError
from common.schema import META_MANIFEST, SCHEMA_VERSION
from common.store.part_files import inspect_part, map_parts
from common.store.parts import list_parts
from common.store.progress import note_part
from common.store.runs import RunFolder


@dataclass(frozen=True)
class Manifest:
    """What a merged file claims about itself; all counts are samples.

    duplicates_dropped: samples found again in a second part. parts_sha256: over the names and
    contents of all parts, in order. partial: merged on request while rows were missing.
    choices: what workers chose for themselves, with the number of samples for each.
    """

    expected: int
    found: int
    failed: int
    duplicates_dropped: int
    partial: bool
    parts: int
    parts_sha256: str
    model_identities: list[str]
    choices: list[dict[str, Any]]
    mixed_choices: bool
    schema_version: int = SCHEMA_VERSION


def build_manifest(run: RunFolder) -> Manifest:
    """Read every part once and state what they hold; raises UsageError for mixed weights."""
    digest = hashlib.sha256()
    held = np.zeros(run.spec.num_samples, dtype=bool)
    failed = held.copy()
    total, choices = 0, Counter[str]()
    identities: set[str | None] = set()
    paths = list_parts(run)
    for path, part in zip(paths, map_parts(partial(inspect_part, run), paths), strict=True):
        digest.update(path.rpartition("/")[2].encode() + part.content)
        note_part(part.info, held, failed)
        total += len(part.rows)
        identities |= {part.info.model_identity} - {None}
        choices[json.dumps(part.info.choices, sort_keys=True)] += len(part.rows)
    if len(identities) > 1:
        different = ", ".join(sorted(map(str, identities)))
        raise UsageError(
            f"run {run.key} was answered with different weights ({different}); "
            "delete the parts of one, or enqueue with --overwrite"
        )
    found = int(held.sum())
    return Manifest(
        expected=run.spec.num_samples,
        found=found,
        failed=int(failed.sum()),
        duplicates_dropped=total - found,
        partial=found < run.spec.num_samples,
        parts=len(paths),
        parts_sha256=digest.hexdigest(),
        model_identities=sorted(map(str, identities)),
        choices=[{**json.loads(c), "samples": n} for c, n in sorted(choices.items())],
        mixed_choices=len(choices) > 1,
    )


def read_manifest(run: RunFolder) -> Manifest:
    """The manifest inside the merged file; raises UsageError where there is none."""
    if not run.store.exists(run.feather):
        raise UsageError(f"run {run.key} has no merged file yet; `producer merge {run.key}`")
    metadata = run.store.open_arrow(run.feather).schema.metadata or {}
    if META_MANIFEST not in metadata:
        raise UsageError(f"{run.feather_path} carries no manifest; merge it again")
    return Manifest(**json.loads(metadata[META_MANIFEST]))

"""The manifest of a merged file: counts, weights and settings of the parts it was made from."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from common.errors import UsageError
from common.schema import META_MANIFEST, SCHEMA_VERSION
from common.store.parts import inspect_part, list_parts, map_parts
from common.store.progress import mark_rows
from common.store.runs import RunFolder


@dataclass(frozen=True)
class Manifest:
    """The claims of a merged file about itself; all counts are samples.

    duplicates_dropped: samples found again in a second part. parts_sha256: over the names and
    contents of all parts, in order. partial: merged on request while rows were missing.
    choices: the settings that workers resolved, with the number of samples for each combination.
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
    """Read every part once and count its rows. Raises UsageError if their weights differ."""
    digest = hashlib.sha256()
    present = np.zeros(run.spec.num_samples, dtype=bool)
    ok = present.copy()
    total, choices = 0, Counter[str]()
    identities: set[str | None] = set()
    paths = list_parts(run)
    for path, part in zip(paths, map_parts(partial(inspect_part, run), paths), strict=True):
        digest.update(path.rpartition("/")[2].encode() + part.content)
        mark_rows(part.info.rows, part.info.failed, present, ok)
        total += len(part.rows)
        identities |= {part.info.model_identity} - {None}
        choices[json.dumps(part.info.choices, sort_keys=True)] += len(part.rows)
    if len(identities) > 1:
        different = ", ".join(sorted(map(str, identities)))
        raise UsageError(
            f"run {run.key} was answered with different weights ({different}); "
            "delete the parts of one, or enqueue with --overwrite"
        )
    found = int(present.sum())
    return Manifest(
        expected=run.spec.num_samples,
        found=found,
        failed=int((present & ~ok).sum()),
        duplicates_dropped=total - found,
        partial=found < run.spec.num_samples,
        parts=len(paths),
        parts_sha256=digest.hexdigest(),
        model_identities=sorted(map(str, identities)),
        choices=[{**json.loads(c), "samples": n} for c, n in sorted(choices.items())],
        mixed_choices=len(choices) > 1,
    )


def read_manifest(run: RunFolder) -> Manifest:
    """Read the manifest from the merged file. Raises UsageError if there is none."""
    metadata = run.open_result().schema.metadata or {}
    if META_MANIFEST not in metadata:
        raise UsageError(f"{run.feather_path} carries no manifest; merge it again")
    return Manifest(**json.loads(metadata[META_MANIFEST]))

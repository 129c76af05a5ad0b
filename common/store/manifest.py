"""The manifest of a merged file: counts, weights and settings of the parts it was made from."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from common.errors import UsageError
from common.schema import META_MANIFEST, SCHEMA_VERSION
from common.store.parts import RowNumbers, inspect_part, map_parts, name_of
from common.store.retries import FIRST_ATTEMPT, latest_attempt, read_retries
from common.store.row_states import RowStates
from common.store.runs import RunFolder


@dataclass(frozen=True)
class Manifest:
    """The claims of a merged file about itself; all counts are samples.

    duplicates_dropped: samples found again in a second part. parts_sha256: over the names and
    contents of all parts, in order. partial: merged on request while rows were missing.
    choices: the settings that workers resolved, with the number of samples for each combination.
    attempt: 1, and one more for each retry of the run. tries: number of samples by how often they
    were answered, if more than once: {"2": 17}. again: samples that were being answered again, of
    which a partial file has the old rows.
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
    attempt: int = FIRST_ATTEMPT
    tries: dict[str, int] = field(default_factory=dict)
    again: int = 0
    schema_version: int = SCHEMA_VERSION


def build_manifest(run: RunFolder, parts: Sequence[str], attempt: int | None = None) -> Manifest:
    """Read parts once and count their rows.

    parts: paths of those to merge. attempt: the one that the file was merged at; None for the
    latest.
    Raises UsageError if the weights of parts differ.
    """
    attempt = attempt or _attempt_now(run, parts)
    digest = hashlib.sha256()
    states = RowStates(run.spec.num_samples, read_retries(run, attempt))
    total, choices = 0, Counter[str]()
    identities: set[str | None] = set()
    for path, part in zip(parts, map_parts(partial(inspect_part, run), parts), strict=True):
        digest.update(path.rpartition("/")[2].encode() + part.content)
        states.add(part.info.rows, part.info.failed, part.info.attempt)
        total += len(part.rows)
        identities |= {part.info.model_identity} - {None}
        choices[json.dumps(part.info.choices, sort_keys=True)] += len(part.rows)
    if len(identities) > 1:
        different = ", ".join(sorted(map(str, identities)))
        raise UsageError(
            f"run {run.key} was answered with different weights ({different}); "
            "delete the parts of one, or enqueue with --overwrite"
        )
    found = int(states.held.sum())
    return Manifest(
        expected=run.spec.num_samples,
        found=found,
        failed=int((states.held & ~states.ok).sum()),
        duplicates_dropped=total - found,
        partial=not states.present.all(),
        parts=len(parts),
        parts_sha256=digest.hexdigest(),
        model_identities=sorted(map(str, identities)),
        choices=[{**json.loads(c), "samples": n} for c, n in sorted(choices.items())],
        mixed_choices=len(choices) > 1,
        attempt=attempt,
        tries=_counted(states.tries()),
        again=int(states.again.sum()),
    )


def _attempt_now(run: RunFolder, parts: Sequence[str]) -> int:
    """The latest attempt; also that of a part whose retry somebody has deleted."""
    names = (name_of(run, path) for path in parts)
    return max(latest_attempt(run), *(name.attempt for name in names if name), FIRST_ATTEMPT)


def _counted(tries: RowNumbers) -> dict[str, int]:
    """Number of samples by how often they were answered, if more than once."""
    times, samples = np.unique(tries[tries > 1], return_counts=True)
    return {str(n): int(count) for n, count in zip(times, samples, strict=True)}


def read_manifest(run: RunFolder) -> Manifest:
    """Read the manifest from the merged file. Raises UsageError if there is none."""
    metadata = run.open_result().schema.metadata or {}
    if META_MANIFEST not in metadata:
        raise UsageError(f"{run.feather_path} carries no manifest; merge it again")
    return Manifest(**json.loads(metadata[META_MANIFEST]))

"""Verifying: compare a merged file with its parts, figure by figure and row by row."""

from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa

from common.errors import UsageError, first_line
from common.schema import META_RUN, META_SCORES
from common.store.manifest import build_manifest, read_manifest
from common.store.merge import merged_windows
from common.store.parts import list_parts
from common.store.retries import latest_attempt
from common.store.runs import RunFolder
from common.store.scores import KeptScores, open_scores


def verify_run(run: RunFolder) -> list[str]:
    """Recompute the manifest and every row from the parts, and return the differences.

    Each difference is one sentence; an empty list means that the file holds. Scores of the file
    are compared with those that the run keeps, where both are of the same versions. While a run is
    retried its file holds as long as it is what the parts of the attempts before give.
    Raises UsageError if there is no merged file, or a part is damaged.
    """
    manifest = read_manifest(run)
    parts = list_parts(run, manifest.attempt)
    claimed, actual = asdict(manifest), asdict(build_manifest(run, parts, manifest.attempt))
    problems = [
        f"{name}: the file claims {claimed[name]!r}, the parts give {actual[name]!r}"
        for name in actual
        if claimed[name] != actual[name]
    ]
    if run.open_result().schema.metadata[META_RUN] != run.record.model_dump_json().encode():
        problems.append("run: the file was made for another run record")
    try:
        windows = merged_windows(run, parts, _scores(run))
        if not problems and not _same_rows(run.batches(), windows):
            problems.append("rows: the file's rows are not those of the parts")
    except (pa.ArrowException, OSError) as error:
        problems.append(f"rows: the file cannot be read: {first_line(error)}")
    return problems


def holds(run: RunFolder) -> bool:
    """Whether there is a merged file that is what its parts give, those of a retry included."""
    try:
        is_latest = run.is_merged() and read_manifest(run).attempt >= latest_attempt(run)
        return is_latest and not verify_run(run)
    except UsageError:
        return False


def _scores(run: RunFolder) -> KeptScores | None:
    """The kept scores, if they are those that the merged file has."""
    scores = open_scores(run)
    versions = run.open_result().schema.metadata.get(META_SCORES)
    return scores if scores and scores.versions == versions else None


def _same_rows(batches: Iterator[pa.RecordBatch], windows: Iterator[pa.Table]) -> bool:
    for window in windows:
        rows: list[pa.RecordBatch] = []
        while sum(map(len, rows)) < len(window):
            batch = next(batches, None)
            if batch is None:
                return False
            rows.append(batch)
        if (
            not pa.Table.from_batches(rows)
            .select(window.column_names)
            .replace_schema_metadata()
            .equals(window.replace_schema_metadata())
        ):
            return False
    return next(batches, None) is None

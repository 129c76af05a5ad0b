"""Merging: parts -> one feather file with a manifest.

Merges WINDOW_ROWS samples at a time, so memory does not grow with the run. Rows are written in
the order of the data set. A row held by several parts is written once, from a part where it has no
error if there is one; of several, from the last attempt.

What holds: merging the same parts again writes nothing. A merged file has the scores that
`producer score` gave to these answers, however often and in whatever order a run is merged and
scored: they are kept in a file that merging reads (common.store.scores).
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UsageError
from common.methods import PARAPHRASES
from common.schema import META_MANIFEST, META_RUN, META_SCORES, SCORE_FIELDS, result_schema
from common.store.manifest import Manifest, build_manifest
from common.store.merged_mark import mark_merged
from common.store.part_names import PartName
from common.store.parts import RowFlags, RowNumbers, list_parts, map_parts, name_of, read_part
from common.store.progress import missing_rows
from common.store.runs import RunFolder
from common.store.scores import KeptScores, open_scores, scores_stamp, with_scores
from common.store.snapshot import SNAPSHOT_BATCH_ROWS, damaged_snapshot, read_batch

logger = logging.getLogger(__name__)

WINDOW_ROWS = 8 * SNAPSHOT_BATCH_ROWS


def merge_run(run: RunFolder, partial: bool = False, anew: bool = False) -> Manifest:
    """Write `<run>.feather`, whole or not at all, and return its manifest.

    A file that was merged from these very parts, and has their scores, is left as it is.
    anew: write it even then, as its rows were found to be others.
    Raises UsageError if rows are missing, unless `partial` is set, and OverwrittenRun if the run
    was overwritten since it was opened.
    """
    run.check_stands()
    files = [file.path for file in run.list_files()]
    parts = [path for path in files if name_of(run, path)]
    manifest = build_manifest(run, parts)
    if manifest.partial and not partial:
        raise UsageError(_describe_missing(run, manifest))
    stamp = scores_stamp(run)
    scores = open_scores(run)
    if anew or not _is_current(run, _metadata(run, manifest, scores)):
        _write(run, parts, manifest, scores)
        if scores_stamp(run) != stamp or _is_overtaken(run, parts):
            # It was scored or got a part meanwhile, and a file with that may have been replaced.
            return merge_run(run, partial, anew=True)
    mark_merged(run, files)
    return manifest


def _is_overtaken(run: RunFolder, parts: Sequence[str]) -> bool:
    """Whether the run has other parts by now, and every row.

    While rows are missing, whoever commits the last one merges the run.
    """
    return list_parts(run) != parts and not missing_rows(run).size


def _describe_missing(run: RunFolder, manifest: Manifest) -> str:
    if manifest.again:
        return (
            f"run {run.key} is being retried, {manifest.again} of its {manifest.expected} rows "
            "are not answered again yet; wait until they are, or merge with --partial, which "
            "keeps what they had before"
        )
    return (
        f"run {run.key} has {manifest.found} of {manifest.expected} rows; "
        "enqueue it again for the rest, or merge with --partial"
    )


def merged_windows(
    run: RunFolder, parts: Sequence[str], scores: KeptScores | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of the merged file, one window of samples at a time.

    parts: paths of those that the manifest counts. scores: of the run, for rows with score
    columns; they are used up.
    """
    schema = _schema(run)
    named = _by_worth(run, parts)
    samples = run.store.open_arrow(run.file("input.arrow"))
    for low in range(0, run.spec.num_samples, WINDOW_ROWS):
        high = min(low + WINDOW_ROWS, run.spec.num_samples)
        overlapping = [p for p, name in named if name.first < high and name.last >= low]
        asked = _input_window(run, samples, low, high) if overlapping or scores else None
        given = scores.take(asked["uuid"]) if asked and scores else None
        answers = _answers(run, overlapping, low, high) if overlapping else None
        if asked and answers:
            window = _join(run, asked, answers, low).select(schema.names).cast(schema)
            yield window if given is None else with_scores(window, given)


def _metadata(
    run: RunFolder, manifest: Manifest, scores: KeptScores | None
) -> dict[bytes | str, bytes | str]:
    metadata: dict[bytes | str, bytes | str] = {
        META_RUN: run.record.model_dump_json().encode(),
        META_MANIFEST: json.dumps(asdict(manifest)).encode(),
    }
    return metadata | ({META_SCORES: scores.versions} if scores else {})


def _is_current(run: RunFolder, expected: dict[bytes | str, bytes | str]) -> bool:
    """Whether the merged file says of itself what one written now would say."""
    if not run.store.exists(run.feather):
        return False
    try:
        metadata = run.open_result().schema.metadata or {}
    except UsageError:
        return False
    return expected.items() <= metadata.items()


def _write(
    run: RunFolder, parts: Sequence[str], manifest: Manifest, scores: KeptScores | None
) -> None:
    fields = [*_schema(run), *(SCORE_FIELDS if scores else [])]
    schema = pa.schema(fields, metadata=_metadata(run, manifest, scores))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    unscored = 0
    with (
        run.write_result() as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        for table in merged_windows(run, parts, scores):
            writer.write_table(table)
            unscored += table["correct_exact"].null_count if scores else 0
    if unscored:
        logger.info(
            "run %s: %d rows were answered after the others were scored", run.key, unscored
        )


def _schema(run: RunFolder) -> pa.Schema:
    return result_schema(run.method, run.store.open_arrow(run.file("input.arrow")).schema)


def _by_worth(run: RunFolder, parts: Sequence[str]) -> list[tuple[str, PartName]]:
    """Parts and their names, those of the last attempt first."""
    named = [(path, name) for path in parts if (name := name_of(run, path))]
    return sorted(named, key=lambda part: -part[1].attempt)


def _answers(run: RunFolder, paths: list[str], low: int, high: int) -> pa.Table:
    tables = list(map_parts(partial(read_part, run.store), paths))
    table = pa.concat_tables(tables)
    row, error = table["row"].to_numpy(), table["error"].is_valid().to_numpy()
    part = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    inside = np.flatnonzero((row >= low) & (row < high))
    row, part, error = row[inside] - low, part[inside], error[inside]
    chosen = best_part(row, part, error)[row] == part
    inside, row = inside[chosen], row[chosen]
    index = table["paraphrase_index"].to_numpy()[inside]
    return table.take(inside[np.lexsort((index, row))])


def best_part(row: RowNumbers, part: RowNumbers, error: RowFlags) -> RowNumbers:
    """Number of the part that gives each row: the first without an error, else the first.

    row, part, error: of each answer; rows and parts are counted from 0.

    >>> best_part(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array([True] + 3 * [False]))
    array([1, 0])
    """
    parts, rows = part.max(initial=0) + 1, row.max(initial=0) + 1
    badness = np.full((parts, rows), 2, dtype=np.int8)  # 2: the part does not have the row.
    badness[part, row] = 0
    badness[part[error], row[error]] = 1
    best: RowNumbers = badness.argmin(axis=0)
    return best


def _input_window(
    run: RunFolder, samples: pa.ipc.RecordBatchFileReader, low: int, high: int
) -> pa.Table:
    path = run.file("input.arrow")
    numbers = range(low // SNAPSHOT_BATCH_ROWS, -(-high // SNAPSHOT_BATCH_ROWS))
    batches = [read_batch(run.store, path, samples, number) for number in numbers]
    if sum(map(len, batches)) != high - low:
        raise damaged_snapshot(run.store, path, f"it does not hold rows {low} to {high - 1}")
    return pa.Table.from_batches(batches)


def _join(run: RunFolder, samples: pa.Table, answers: pa.Table, low: int) -> pa.Table:
    joined = samples.take(pc.subtract(answers["row"], pa.scalar(low)))
    if not joined["uuid"].equals(answers["uuid"]):
        raise UsageError(f"run {run.key}: a part answers other samples than input.arrow holds")
    if run.method == PARAPHRASES:
        question = pc.list_element(joined["paraphrases"], 0)
        joined = joined.drop_columns("paraphrases").append_column("question", question)
    for name in answers.column_names:
        if name not in joined.column_names:
            joined = joined.append_column(name, answers[name])
    return joined

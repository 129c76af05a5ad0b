"""Merging: parts -> one feather file with a manifest.

Merges WINDOW_ROWS samples at a time, so memory does not grow with the run. Rows are written in
the order of the data set; a row held by two parts is written once.

What holds: merging the same parts again writes nothing. A merged file has the scores that
`producer score` gave to these answers, however often and in whatever order a run is merged and
scored: they are kept in a file that merging reads (common.store.scores).
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UsageError
from common.methods import PARAPHRASES
from common.schema import META_MANIFEST, META_RUN, META_SCORES, SCORE_FIELDS, result_schema
from common.store.manifest import Manifest, build_manifest
from common.store.parts import RowNumbers, list_parts, map_parts, part_range, read_part
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
    manifest = build_manifest(run)
    if manifest.partial and not partial:
        raise UsageError(
            f"run {run.key} has {manifest.found} of {manifest.expected} rows; "
            "enqueue it again for the rest, or merge with --partial"
        )
    stamp = scores_stamp(run)
    scores = open_scores(run)
    if anew or not _is_current(run, _metadata(run, manifest, scores)):
        _write(run, manifest, scores)
        if scores_stamp(run) != stamp:  # It was scored meanwhile, and that file was replaced.
            return merge_run(run, partial, anew=True)
    return manifest


def merged_windows(run: RunFolder, scores: KeptScores | None = None) -> Iterator[pa.Table]:
    """Yield the rows of the merged file, one window of samples at a time.

    scores: of the run, for rows with score columns; they are used up.
    """
    schema = _schema(run)
    parts = [(part_range(path), path) for path in list_parts(run)]
    samples = run.store.open_arrow(run.file("input.arrow"))
    for low in range(0, run.spec.num_samples, WINDOW_ROWS):
        high = min(low + WINDOW_ROWS, run.spec.num_samples)
        overlapping = [path for (first, last), path in parts if first < high and last >= low]
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
        said = run.open_result().schema.metadata or {}
    except UsageError:
        return False
    return expected.items() <= said.items()


def _write(run: RunFolder, manifest: Manifest, scores: KeptScores | None) -> None:
    fields = [*_schema(run), *(SCORE_FIELDS if scores else [])]
    schema = pa.schema(fields, metadata=_metadata(run, manifest, scores))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    unscored = 0
    with (
        run.write_result() as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        for table in merged_windows(run, scores):
            writer.write_table(table)
            unscored += table["correct_exact"].null_count if scores else 0
    if unscored:
        logger.info(
            "run %s: %d rows were answered after the others were scored", run.key, unscored
        )


def _schema(run: RunFolder) -> pa.Schema:
    return result_schema(run.method, run.store.open_arrow(run.file("input.arrow")).schema)


def _answers(run: RunFolder, paths: list[str], low: int, high: int) -> pa.Table:
    table = pa.concat_tables(map_parts(partial(read_part, run.store), paths))
    return table.take(
        _in_order(table["row"].to_numpy(), table["paraphrase_index"].to_numpy(), low, high)
    )


def _in_order(row: RowNumbers, index: RowNumbers, low: int, high: int) -> RowNumbers:
    """Indices of the rows in [low, high), sorted, each (row, paraphrase index) once.

    >>> _in_order(np.array([4, 3, 4]), np.array([0, 0, 0]), 3, 9)
    array([1, 0])
    """
    order = np.lexsort((index, row))
    order = order[(row[order] >= low) & (row[order] < high)]
    row, index = row[order], index[order]
    first = np.ones(len(row), dtype=bool)
    first[1:] = (row[1:] != row[:-1]) | (index[1:] != index[:-1])
    return order[first]


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

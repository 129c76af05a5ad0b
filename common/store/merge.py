"""Merging: parts -> one feather file with a manifest.

Merges WINDOW_ROWS samples at a time, so memory does not grow with the run. Rows are written in
the order of the data set; a row held by two parts is written once.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UsageError
from common.methods import PARAPHRASES
from common.schema import META_MANIFEST, META_RUN, result_schema
from common.store.manifest import Manifest, build_manifest
from common.store.parts import RowNumbers, list_parts, map_parts, part_range, read_part
from common.store.runs import RunFolder
from common.store.snapshot import SNAPSHOT_BATCH_ROWS

WINDOW_ROWS = 8 * SNAPSHOT_BATCH_ROWS


def merge_run(run: RunFolder, partial: bool = False) -> Manifest:
    """Write `<run>.feather`, whole or not at all, and return its manifest.

    Raises UsageError if rows are missing, unless `partial` is set.
    """
    manifest = build_manifest(run)
    if manifest.partial and not partial:
        raise UsageError(
            f"run {run.key} has {manifest.found} of {manifest.expected} rows; "
            "enqueue it again for the rest, or merge with --partial"
        )
    schema = _schema(run).with_metadata(
        {
            META_RUN: run.record.model_dump_json().encode(),
            META_MANIFEST: json.dumps(asdict(manifest)).encode(),
        }
    )
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.store.write(run.feather) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        for table in merged_windows(run):
            writer.write_table(table)
    return manifest


def merged_windows(run: RunFolder) -> Iterator[pa.Table]:
    """Yield the rows of the merged file, one window of samples at a time."""
    schema = _schema(run)
    parts = [(part_range(path), path) for path in list_parts(run)]
    samples = run.store.open_arrow(run.file("input.arrow"))
    for low in range(0, run.spec.num_samples, WINDOW_ROWS):
        high = min(low + WINDOW_ROWS, run.spec.num_samples)
        overlapping = [path for (first, last), path in parts if first < high and last >= low]
        answers = _answers(run, overlapping, low, high) if overlapping else None
        if answers is not None and len(answers):
            window = _join(run, _input_window(samples, low, high), answers, low)
            yield window.select(schema.names).cast(schema)


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


def _input_window(samples: pa.ipc.RecordBatchFileReader, low: int, high: int) -> pa.Table:
    numbers = range(low // SNAPSHOT_BATCH_ROWS, -(-high // SNAPSHOT_BATCH_ROWS))
    return pa.Table.from_batches([samples.get_batch(n) for n in numbers])


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

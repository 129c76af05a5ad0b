"""Merging: parts -> one feather file with a certificate, and checking it again later.

Streams in windows of WINDOW_ROWS samples, so memory does not grow with the run. Rows come out
in the order of the data set; a row held by two parts comes out once.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UsageError, first_line
from common.methods import PARAPHRASES
from common.schema import META_CERTIFICATE, META_RUN, SCHEMA_VERSION, result_schema
from common.store.parts import list_parts, note_part, part_range, read_info, read_part
from common.store.runs import Run
from common.store.samples import INPUT_BATCH_ROWS

WINDOW_ROWS = 8 * INPUT_BATCH_ROWS

_Integers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Certificate:
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


def certify(run: Run) -> Certificate:
    """Read every part once and state what they hold; raises UsageError for mixed weights."""
    digest = hashlib.sha256()
    held = np.zeros(run.spec.num_samples, dtype=bool)
    failed = held.copy()
    total, choices = 0, Counter[str]()
    identities: set[str | None] = set()
    paths = list_parts(run)
    for path in paths:
        info = read_info(run, path)
        rows = np.unique(read_part(run.location, path)["row"].to_numpy())
        if rows.tolist() != list(info.rows):
            raise UsageError(f"{run.location.path(path)} does not hold the rows it names")
        digest.update(path.rpartition("/")[2].encode() + run.location.read_bytes(path))
        note_part(info, held, failed)
        total += len(rows)
        identities |= {info.model_identity} - {None}
        choices[json.dumps(info.choices, sort_keys=True)] += len(rows)
    if len(identities) > 1:
        different = ", ".join(sorted(map(str, identities)))
        raise UsageError(
            f"run {run.key} was answered with different weights ({different}); "
            "delete the parts of one, or enqueue with --overwrite"
        )
    found = int(held.sum())
    return Certificate(
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


def merge_run(run: Run, partial: bool = False) -> Certificate:
    """Write `<run>.feather`, whole or not at all.

    Raises UsageError when rows are missing, unless `partial` asks for what there is.
    """
    certificate = certify(run)
    if certificate.partial and not partial:
        raise UsageError(
            f"run {run.key} has {certificate.found} of {certificate.expected} rows; "
            "enqueue it again for the rest, or merge with --partial"
        )
    schema = _schema(run).with_metadata(
        {
            META_RUN: run.record.model_dump_json().encode(),
            META_CERTIFICATE: json.dumps(asdict(certificate)).encode(),
        }
    )
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.location.write(run.feather) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        for table in merged_windows(run):
            writer.write_table(table)
    return certificate


def merged_windows(run: Run) -> Iterator[pa.Table]:
    """The final rows, a window of samples at a time."""
    schema = _schema(run)
    parts = [(part_range(path), path) for path in list_parts(run)]
    samples = run.location.open_arrow(run.file("input.arrow"))
    for low in range(0, run.spec.num_samples, WINDOW_ROWS):
        high = min(low + WINDOW_ROWS, run.spec.num_samples)
        overlapping = [path for (first, last), path in parts if first < high and last >= low]
        answers = _answers(run, overlapping, low, high) if overlapping else None
        if answers is not None and len(answers):
            window = _join(run, _input_window(samples, low, high), answers, low)
            yield window.select(schema.names).cast(schema)


def _schema(run: Run) -> pa.Schema:
    return result_schema(run.method, run.location.open_arrow(run.file("input.arrow")).schema)


def _answers(run: Run, paths: list[str], low: int, high: int) -> pa.Table:
    table = pa.concat_tables([read_part(run.location, path) for path in paths])
    return table.take(_in_order(table["row"].to_numpy(), table["wording"].to_numpy(), low, high))


def _in_order(row: _Integers, wording: _Integers, low: int, high: int) -> _Integers:
    """Indices of the rows in [low, high), sorted, each (row, wording) once.

    >>> _in_order(np.array([4, 3, 4]), np.array([0, 0, 0]), 3, 9)
    array([1, 0])
    """
    order = np.lexsort((wording, row))
    order = order[(row[order] >= low) & (row[order] < high)]
    row, wording = row[order], wording[order]
    first = np.ones(len(row), dtype=bool)
    first[1:] = (row[1:] != row[:-1]) | (wording[1:] != wording[:-1])
    return order[first]


def _input_window(samples: pa.ipc.RecordBatchFileReader, low: int, high: int) -> pa.Table:
    numbers = range(low // INPUT_BATCH_ROWS, -(-high // INPUT_BATCH_ROWS))
    return pa.Table.from_batches([samples.get_batch(n) for n in numbers])


def _join(run: Run, samples: pa.Table, answers: pa.Table, low: int) -> pa.Table:
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


def read_certificate(run: Run) -> Certificate:
    """The certificate inside the merged file; raises UsageError where there is none."""
    if not run.location.exists(run.feather):
        raise UsageError(f"run {run.key} has no merged file yet; `producer merge {run.key}`")
    metadata = run.location.open_arrow(run.feather).schema.metadata or {}
    if META_CERTIFICATE not in metadata:
        raise UsageError(f"{run.feather_path} carries no merge certificate; merge it again")
    return Certificate(**json.loads(metadata[META_CERTIFICATE]))


def verify_run(run: Run) -> list[str]:
    """Recompute the certificate and every row from the parts; returns what does not hold."""
    claimed, actual = asdict(read_certificate(run)), asdict(certify(run))
    problems = [
        f"{name}: the file claims {claimed[name]!r}, the parts give {actual[name]!r}"
        for name in actual
        if claimed[name] != actual[name]
    ]
    reader = run.location.open_arrow(run.feather)
    if reader.schema.metadata[META_RUN] != run.record.model_dump_json().encode():
        problems.append("run: the file was made for another run record")
    try:
        if not problems and not _same_rows(reader, merged_windows(run)):
            problems.append("rows: the file's rows are not those of the parts")
    except (pa.ArrowException, OSError) as error:
        problems.append(f"rows: the file cannot be read: {first_line(error)}")
    return problems


def _same_rows(reader: pa.ipc.RecordBatchFileReader, windows: Iterator[pa.Table]) -> bool:
    batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
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

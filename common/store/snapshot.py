"""Snapshots: the samples of a run, written and hashed one by one, read by row number."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from common.errors import UsageError, first_line, is_of_the_system
from common.records import Sample
from common.schema import input_schema
from common.store.filesystem import StoreFilesystem

SNAPSHOT_BATCH_ROWS = 1024


class SnapshotWriter:
    """Writes and hashes samples one by one; keeps at most SNAPSHOT_BATCH_ROWS in memory.

    Use it as a context manager: the file appears under `path` when the block ends, or never.
    """

    def __init__(self, store: StoreFilesystem, path: str) -> None:
        self.path = path
        self.num_samples = 0
        self._digest = hashlib.sha256()
        self._rows: list[Sample] = []
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._store = store
        self._stack = ExitStack()

    def __enter__(self) -> "SnapshotWriter":
        self._sink = self._stack.enter_context(self._store.write(self.path))
        self._stack.push(self._finish)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def _finish(self, failure: type[BaseException] | None, *_: Any) -> None:
        if failure is None:
            self._flush()
        if self._writer:
            self._writer.close()

    def add(self, sample: Sample) -> None:
        content: list[Any] = [sample.uuid, sample.paraphrases, sample.answers]
        content += [x for x in (sample.num_manual, sample.confidences) if x is not None]
        self._digest.update(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        self._rows.append(sample)
        self.num_samples += 1
        if len(self._rows) == SNAPSHOT_BATCH_ROWS:
            self._flush()

    @property
    def sha256(self) -> str:
        """Hash of the samples' content and order, not of the file's bytes."""
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            # The first sample decides the columns.
            self._schema = input_schema(self._rows[0])
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = pa.ipc.new_file(self._sink, self._schema, options=options)
        rows = [vars(sample) for sample in self._rows]
        self._writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=self._schema))
        self._rows = []


def read_snapshot(store: StoreFilesystem, path: str, rows: Sequence[int]) -> list[Sample]:
    """Read samples by row number, in the order of `rows`; only their batches are read.

    Raises UsageError for a file that is not the whole snapshot.
    """
    reader = store.open_arrow(path)
    batches: dict[int, pa.RecordBatch] = {}
    samples = []
    for row in rows:
        number, offset = divmod(row, SNAPSHOT_BATCH_ROWS)
        if number not in batches:
            batches[number] = read_batch(store, path, reader, number)
        if offset >= len(batches[number]):
            raise damaged_snapshot(store, path, f"it ends before row {row}")
        samples.append(_sample(batches[number].slice(offset, 1).to_pylist()[0]))
    return samples


def read_batch(
    store: StoreFilesystem, path: str, reader: pa.ipc.RecordBatchFileReader, number: int
) -> pa.RecordBatch:
    """Read one batch of an open snapshot. Raises UsageError for one that is damaged."""
    try:
        batch = reader.get_batch(number)
        batch.validate(full=True)  # Bad offsets would lead outside the file.
        batch.select(["uuid", "paraphrases", "answers"])
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if is_of_the_system(error):
            raise
        raise damaged_snapshot(store, path, first_line(error)) from None
    return batch


def damaged_snapshot(store: StoreFilesystem, path: str, reason: str) -> UsageError:
    """Return the error that names a damaged snapshot and says what to do."""
    return UsageError(
        f"{store.path(path)} is not the whole snapshot of a run ({reason}); if it stays so, "
        "enqueue the run with --overwrite to start anew"
    )


def _sample(row: dict[str, Any]) -> Sample:
    confidences = row.get("confidences")
    return Sample(
        tuple(row["paraphrases"]),
        tuple(row["answers"]),
        row["uuid"],
        row.get("num_manual"),
        None if confidences is None else tuple(confidences),
    )

"""Scores of a run, in a file of their own, which no merge can erase.

`<run>/scores.arrow` holds the columns of `producer score` for each row that it judged, in the
order of the merged file, with the uuid and a digest of what was judged: uuid, prediction and gold
answers. Its metadata tells the versions that scored (META_SCORES) and the run (META_RUN).

What holds:

- Scoring writes the file, whole or not at all; merging only reads scores.
- Merging, like scoring, writes the score columns into the merged file. A row gets the scores that
  were given to the same prediction of the same sample, or null in every score column: a row that
  was answered otherwise, or first answered, since then. `unscored_rows` counts such rows, merging
  tells their number, and `producer score` scores them again.
- Scores are those of the versions that META_SCORES of the merged file tells.
- A file of another run record, or one that cannot be read, counts as none: it is scored anew.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from common.errors import UsageError, first_line, is_of_the_system
from common.schema import META_RUN, META_SCORES, SCORE_FIELDS
from common.store.runs import RunFolder

logger = logging.getLogger(__name__)

_JUDGED: "list[pa.Field[Any]]" = [
    pa.field("uuid", pa.string(), nullable=False),
    pa.field("judged", pa.binary(16), nullable=False),
]

SCORES_SCHEMA = pa.schema([*_JUDGED, *SCORE_FIELDS])

SLICE_ROWS = 1024
"""Rows that are Python objects at a time."""


class KeptScores:
    """The scores of a run, given out once, from the first sample to the last.

    versions: what META_SCORES of the file says. path: of the file, for people.
    """

    def __init__(self, reader: pa.ipc.RecordBatchFileReader, path: str) -> None:
        self.versions = reader.schema.metadata[META_SCORES]
        self.path = path
        self._batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
        self._rest: pa.RecordBatch | None = None

    def take(self, uuids: "pa.ChunkedArray[Any]") -> pa.Table:
        """Take the scores of the next samples. uuids: all of theirs, and none of a later call."""
        taken = []
        while (rest := self._rest or self._next_batch()) is not None:
            here = pc.index(pc.is_in(rest["uuid"], value_set=uuids), False).as_py()
            taken.append(rest if here < 0 else rest.slice(0, here))
            self._rest = None if here < 0 else rest.slice(here)
            if self._rest is not None:
                break
        return pa.Table.from_batches(taken, schema=SCORES_SCHEMA)

    def _next_batch(self) -> pa.RecordBatch | None:
        try:
            return next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            if is_of_the_system(error):
                raise
            logger.warning(
                "%s cannot be read to its end (%s); the rest is left unscored",
                self.path,
                first_line(error),
            )
            return None


def scores_path(run: RunFolder) -> str:
    """Return the path, inside the store, of the run's scores."""
    return run.file("scores.arrow")


def open_scores(run: RunFolder) -> KeptScores | None:
    """Open the scores of a run; None if there are none that are to be believed."""
    path = scores_path(run)
    if not run.store.exists(path):
        return None
    try:
        reader = run.store.open_arrow(path)
    except UsageError as error:
        logger.warning("%s; the run counts as not scored", error)
        return None
    metadata = reader.schema.metadata or {}
    ours = metadata.get(META_RUN) == _record(run) and META_SCORES in metadata
    known = ours and reader.schema.equals(SCORES_SCHEMA)
    return KeptScores(reader, run.store.path(path)) if known else None


def scores_stamp(run: RunFolder) -> tuple[int | None, int | None]:
    """Size and time of the file; another one was written in between if they differ."""
    info = run.store.filesystem.get_file_info(run.store.path(scores_path(run)))
    return info.size, info.mtime_ns


@contextmanager
def write_scores(run: RunFolder, versions: bytes) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Yield a writer of `kept_rows`; the file appears when the block ends, or never."""
    schema = SCORES_SCHEMA.with_metadata({META_RUN: _record(run), META_SCORES: versions})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        run.write(scores_path(run)) as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        yield writer


def kept_rows(scored: pa.RecordBatch) -> pa.RecordBatch:
    """Return what is kept of scored rows: their uuid, what was judged, and the scores."""
    given = scored.filter(pc.is_valid(scored["correct_exact"]))
    columns = [given["uuid"], _judged(given), *(given[field.name] for field in SCORE_FIELDS)]
    return pa.RecordBatch.from_arrays(columns, schema=SCORES_SCHEMA)


def with_scores(rows: pa.Table, scores: pa.Table) -> pa.Table:
    """Append the score columns to rows of a merged file; null where a row was not judged."""
    indices = pc.index_in(_judged(rows), value_set=scores["judged"].combine_chunks())
    for field in SCORE_FIELDS:
        rows = rows.append_column(field, scores[field.name].take(indices))
    return rows


def unscored_rows(run: RunFolder) -> int:
    """Count the rows of a scored merged file that have no scores; 0 for a file never scored."""
    if META_SCORES not in _metadata(run):
        return 0
    return sum(batch["correct_exact"].null_count for batch in run.batches(["correct_exact"]))


def _metadata(run: RunFolder) -> dict[bytes, bytes]:
    """Metadata of the merged file; empty if there is none that can be opened."""
    try:
        return dict(run.open_result().schema.metadata or {})
    except UsageError:
        return {}


def _judged(rows: pa.RecordBatch | pa.Table) -> "pa.Array[Any]":
    """Digest, for each row, of what a score depends on beside the versions."""
    texts = rows.select(["uuid", "prediction", "answers"])
    digests = [
        hashlib.blake2b(json.dumps(list(row.values())).encode(), digest_size=16).digest()
        for low in range(0, len(rows), SLICE_ROWS)
        for row in texts.slice(low, SLICE_ROWS).to_pylist()
    ]
    return pa.array(digests, pa.binary(16))


def _record(run: RunFolder) -> bytes:
    return run.record.model_dump_json().encode()

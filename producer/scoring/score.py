"""Score merged runs: add columns that say which answers are right to their files.

Works batch by batch, so memory does not grow with the run. Reads only the feather file and
run.json; `verify` checks whether the file's rows are the rows of the parts.

The scores are written to a file in the run's folder first (common.store.scores says what holds of
it), then to the merged file. So merging again keeps them.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from common.answer_text import exact_match
from common.errors import UsageError, first_line, is_of_the_system
from common.methods import METHODS
from common.schema import META_MANIFEST, META_SCORES, SCORE_FIELDS
from common.store import RunFolder
from common.store.manifest import read_manifest
from common.store.scores import kept_rows, open_scores, unscored_rows, write_scores
from producer.scoring.f1 import token_f1
from producer.scoring.lemmas import LANGUAGE, lemma_match, lemmas, lemmatizer_version
from producer.scoring.totals import Scores, read_totals

SCORING_VERSION = 2
"""Version of the scores; raised only when a row would get other scores than before.

2: articles stay in a text that has no other words, a text of punctuation alone equals only itself,
Unicode is normalized and its punctuation removed, and lemmas match side by side, one way.
"""

SLICE_ROWS = 1024
"""Rows converted to Python objects at a time; a batch of many paraphrases has far more rows."""

_Row = dict[str, Any]
_SCORES = pa.schema(SCORE_FIELDS)


def score_runs(runs: Sequence[RunFolder]) -> list[Scores]:
    """Score runs one after another.

    Raises UsageError for a run that cannot be scored, before the first run is changed.
    """
    for run in runs:
        check_scorable(run)
    return [score_run(run) for run in runs]


def check_scorable(run: RunFolder) -> None:
    """Raise UsageError for a run without merged answers, or if simplemma is not installed."""
    if run.spec.method not in METHODS:
        raise UsageError(
            f"run {run.key} is a step ({run.spec.method}) that prepares other runs, it has no "
            "answers to score; give the runs made with it"
        )
    if not run.store.exists(run.feather):
        raise UsageError(
            f"run {run.key} is not merged, so there is nothing to score yet; wait until it is "
            f"complete (`producer status {run.key}`), or `producer merge {run.key}`"
        )
    read_manifest(run)
    lemmatizer_version()


def score_run(run: RunFolder) -> Scores:
    """Add the columns of SCORE_FIELDS to a merged file and return their totals.

    The file is replaced atomically. A file of which the same versions scored every row is left
    unchanged.
    Raises UsageError for a run that cannot be scored or a file that cannot be read.
    """
    check_scorable(run)
    reader = run.store.open_arrow(run.feather)
    with _arrow_errors(run):
        if not _is_scored(run, reader.schema):
            _write_scores(run, reader)
        return read_totals(run)


def _is_scored(run: RunFolder, schema: pa.Schema) -> bool:
    """Whether every row has scores of these versions, and merging would keep them."""
    kept = open_scores(run)
    versions = kept.versions if kept else None
    return versions == _scored_with(schema) == _versions() and not unscored_rows(run)


def has_old_scores(schema: pa.Schema) -> bool:
    """Whether a file was scored by other versions than the installed ones."""
    return _scored_with(schema) not in (None, _versions())


def _scored_with(schema: pa.Schema) -> bytes | None:
    return (schema.metadata or {}).get(META_SCORES)


def _versions() -> bytes:
    """Versions that decide the scores of a row, as the file's metadata stores them."""
    used = {"scoring": SCORING_VERSION, "simplemma": lemmatizer_version(), "language": LANGUAGE}
    return json.dumps(used).encode()


def _write_scores(run: RunFolder, reader: pa.ipc.RecordBatchFileReader) -> None:
    schema = _scored_schema(reader.schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with run.write_result() as sink:
        with (
            write_scores(run, _versions()) as kept,
            pa.ipc.new_file(sink, schema, options=options) as writer,
        ):
            # Keep the batches: `verify` compares the file with the parts batch by batch.
            for number in range(reader.num_record_batches):
                scored = _scored(reader.get_batch(number), schema)
                writer.write_batch(scored)
                kept.write_batch(kept_rows(scored))
        # Now that the scores are kept: a merge that ends later than this finds them.
        if _manifest(run.store.open_arrow(run.feather)) != _manifest(reader):
            raise UsageError(
                f"run {run.key} was merged again while it was scored, and that file is kept; "
                "score it again"
            )


def _manifest(reader: pa.ipc.RecordBatchFileReader) -> bytes | None:
    return (reader.schema.metadata or {}).get(META_MANIFEST)


def _scored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of the scored file: the unscored columns, then the scores."""
    unscored = [field for field in schema if field.name not in _SCORES.names]
    metadata = [(k, v) for k, v in (schema.metadata or {}).items() if k != META_SCORES]
    metadata.append((META_SCORES, _versions()))
    return pa.schema([*unscored, *_SCORES], metadata=dict(metadata))


def _scored(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    rows = batch.select(["prediction", "answers"])
    slices = (rows.slice(low, SLICE_ROWS) for low in range(0, len(rows), SLICE_ROWS))
    scores = pa.Table.from_batches([_scores(part) for part in slices], schema=_SCORES)
    columns = [
        scores[name].combine_chunks() if name in _SCORES.names else batch[name]
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _scores(rows: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([_score(row) for row in rows.to_pylist()], schema=_SCORES)


def _score(row: _Row) -> _Row:
    """The scores of one row. A failed row has no prediction: it is wrong and has no lemmas."""
    prediction, answers = row["prediction"], row["answers"]
    predict_lemma = None if prediction is None else lemmas(prediction)
    answer_lemmas = [lemmas(answer) for answer in answers]
    return {
        "predict_lemma": predict_lemma,
        "answer_lemmas": answer_lemmas,
        "correct_exact": exact_match(prediction, answers),
        "correct_f1": token_f1(prediction, answers),
        "correct_lemma": lemma_match(predict_lemma or [], answer_lemmas),
    }


@contextmanager
def _arrow_errors(run: RunFolder) -> Iterator[None]:
    """Raise errors of the Arrow library as a UsageError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        if is_of_the_system(error):
            raise
        raise UsageError(
            f"{run.feather_path} cannot be read ({first_line(error)}); "
            f"`producer merge {run.key}` makes it anew from the parts"
        ) from None

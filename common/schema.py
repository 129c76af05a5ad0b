"""Arrow schemas of snapshots, parts and merged files, and the keys of their metadata.

A part holds results alone; the merged file joins them with the snapshot. Columns that
existing notebooks read keep their names: `uuid`, `paraphrases`, `answers`, `prediction`,
`generation`, and for one row per paraphrase `paraphrase` and `prompt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from common.methods import CONFIDENCE, PARAPHRASES, Method
from common.records import Sample

SCHEMA_VERSION = 1

META_RUN = b"self_ensemble.run"
META_PART = b"self_ensemble.part"
META_MANIFEST = b"self_ensemble.manifest"
META_SCORES = b"self_ensemble.scores"

if TYPE_CHECKING:
    _Fields = list[pa.Field[Any]]

_SAMPLE: _Fields = [
    pa.field("uuid", pa.string(), nullable=False),
    pa.field("paraphrases", pa.list_(pa.string()), nullable=False),
    pa.field("answers", pa.list_(pa.string()), nullable=False),
]

_SAMPLE_EXTRAS: dict[str, pa.Field[Any]] = {
    "num_manual": pa.field("num_manual", pa.int32()),
    "confidences": pa.field("confidences", pa.list_(pa.float64())),
}

_OUTCOME: _Fields = [
    pa.field("prediction", pa.string()),
    pa.field("generation", pa.string()),
    pa.field("reasoning", pa.string()),
    pa.field("tokens", pa.list_(pa.int32())),
    pa.field("token_logprobs", pa.list_(pa.float32())),
    pa.field("logprob", pa.float64()),
    pa.field("finish_reason", pa.string()),
]

_SINGLE = pa.struct(
    [
        pa.field("prediction", pa.string()),
        pa.field("tokens", pa.list_(pa.int32())),
        pa.field("token_logprobs", pa.list_(pa.float32())),
        pa.field("finish_reason", pa.string()),
    ]
)

_SINGLES: _Fields = [pa.field("singles", pa.list_(_SINGLE))]
_ASKED: _Fields = [pa.field("paraphrase", pa.string()), pa.field("prompt", pa.string())]
_CONFIDENCE: _Fields = [
    pa.field("confidence", pa.float64()),
    pa.field("sampled", pa.list_(pa.string())),
]
_QUESTION: pa.Field[Any] = pa.field("question", pa.string(), nullable=False)
_WRITTEN: _Fields = [
    pa.field("paraphrases", pa.list_(pa.string())),
    pa.field("problems", pa.list_(pa.string())),
    pa.field("attempts", pa.list_(pa.int32())),
]
_ERROR: _Fields = [pa.field("error", pa.string()), pa.field("error_kind", pa.string())]

SCORE_FIELDS: _Fields = [
    pa.field("predict_lemma", pa.list_(pa.string())),
    pa.field("answer_lemmas", pa.list_(pa.list_(pa.string()))),
    pa.field("correct_exact", pa.bool_()),
    pa.field("correct_f1", pa.float64()),
    pa.field("correct_lemma", pa.bool_()),
]
"""Columns that scoring appends to the merged file. A failed row has no lemmas."""

_ID: _Fields = [
    pa.field("row", pa.int64(), nullable=False),
    pa.field("paraphrase_index", pa.int32(), nullable=False),
    pa.field("uuid", pa.string(), nullable=False),
]

PART_SCHEMA = pa.schema([*_ID, *_ASKED, *_OUTCOME, *_SINGLES, *_CONFIDENCE, *_WRITTEN, *_ERROR])
"""One row per answer. `row` is the row number of the sample in the snapshot."""


def input_schema(sample: Sample) -> pa.Schema:
    """Return the columns of a snapshot whose first sample is this one."""
    extras = [f for name, f in _SAMPLE_EXTRAS.items() if getattr(sample, name) is not None]
    return pa.schema([*_SAMPLE, *extras])


def result_schema(method: Method, samples: pa.Schema) -> pa.Schema:
    """Return the columns of a merged file. samples: the schema of the snapshot."""
    if method == PARAPHRASES:
        return pa.schema([_SAMPLE[0], _QUESTION, _WRITTEN[0], _SAMPLE[2], *_WRITTEN[1:], *_ERROR])
    outcome = [*(_ASKED if method.row_per_paraphrase else []), *_OUTCOME]
    if method == CONFIDENCE:
        outcome += _CONFIDENCE
    elif method.sequences != "first" and not method.row_per_paraphrase:
        outcome += _SINGLES
    return pa.schema([*samples.remove_metadata(), *outcome, *_ERROR])

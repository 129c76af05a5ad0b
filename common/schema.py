"""Arrow schemas of samples, parts and results, and the keys of their metadata.

A part holds results alone; the final file joins them with the frozen samples. Columns that
existing notebooks read keep their names: `uuid`, `paraphrases`, `answers`, `prediction`,
`generation`, and for one row per wording `paraphrase` and `prompt`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1

META_RUN = b"self_ensemble.run"
META_PART = b"self_ensemble.part"
META_CERTIFICATE = b"self_ensemble.certificate"

_SAMPLE: list[pa.Field[Any]] = [
    pa.field("uuid", pa.string(), nullable=False),
    pa.field("paraphrases", pa.list_(pa.string()), nullable=False),
    pa.field("answers", pa.list_(pa.string()), nullable=False),
]

INPUT_SCHEMA = pa.schema(_SAMPLE)
"""One row per sample, in the order of the data set; the row number is the sample's id."""

_OUTCOME: list[pa.Field[Any]] = [
    pa.field("prediction", pa.string()),
    pa.field("generation", pa.string()),
    pa.field("tokens", pa.list_(pa.int32())),
    pa.field("logprob", pa.float64()),
    pa.field("finish_reason", pa.string()),
    pa.field("error", pa.string()),
]

_WORDING: list[pa.Field[Any]] = [
    pa.field("paraphrase", pa.string()),
    pa.field("prompt", pa.string()),
]

_ID: list[pa.Field[Any]] = [
    pa.field("row", pa.int64(), nullable=False),
    pa.field("wording", pa.int32(), nullable=False),
    pa.field("uuid", pa.string(), nullable=False),
]

PART_SCHEMA = pa.schema([*_ID, *_WORDING, *_OUTCOME])
"""One row per answer. `row` is the sample's id, `wording` the paraphrase answered (else 0)."""


def result_schema(row_per_wording: bool) -> pa.Schema:
    """The final file's columns."""
    return pa.schema([*_SAMPLE, *(_WORDING if row_per_wording else []), *_OUTCOME])


@dataclass(frozen=True)
class Sample:
    """One question. `paraphrases[0]` is the question itself."""

    uuid: str
    paraphrases: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """One row of a part: what came out for one sample, or for one wording of it.

    tokens: ids generated, the stop token included. logprob: sum of their log-probabilities
    (natural log). finish_reason: "newline", "eos" or "length"; None when `error` is set.
    """

    row: int
    wording: int
    uuid: str
    paraphrase: str | None = None
    prompt: str | None = None
    prediction: str | None = None
    generation: str | None = None
    tokens: list[int] = field(default_factory=list)
    logprob: float | None = None
    finish_reason: str | None = None
    error: str | None = None

"""The record of a run: its spec, and its generation, which tells it from runs of the same key.

A generation is a random name that every run gets when it is created. Its record, its parts, its
pin and its merged file carry it. Who opened a run before it was overwritten holds the old one, so
what it writes afterwards is never taken for the new run's.
"""

import json
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from common.run import RunKey, RunSpec
from common.schema import META_RUN


class RunRecord(BaseModel):
    """The content of run.json.

    provenance: who made the run, when and how. It is not part of the fingerprint, nor is the
    generation.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    fingerprint: str
    generation: str = Field(pattern=r"^[0-9a-f]{12}$")
    spec: RunSpec
    provenance: dict[str, Any]

    @classmethod
    def begin(cls, key: RunKey, spec: RunSpec, provenance: dict[str, Any]) -> "RunRecord":
        """Return the record of a new run, with a generation of its own."""
        return cls(
            key=str(key), fingerprint=spec.fingerprint, generation=uuid.uuid4().hex[:12],
            spec=spec, provenance=provenance,
        )  # fmt: skip

    def is_not_of(self, metadata: dict[bytes, bytes] | None) -> bool:
        """Whether the metadata of a merged file names a run of another generation."""
        text = (metadata or {}).get(META_RUN)
        try:
            return text is not None and bool(json.loads(text)["generation"] != self.generation)
        except (ValueError, TypeError, KeyError):
            return True

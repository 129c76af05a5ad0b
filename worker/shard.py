"""Shards: what a message names, checked before anything is opened or computed.

A message comes from a queue that others may write to. It holds names and row numbers only;
every name is resolved under this worker's own store.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from common.errors import RejectShard, StopRun, UsageError
from common.messages import ShardMessage
from common.run import RunKey
from common.schema import Sample
from common.store import Location, Run


@dataclass(frozen=True)
class Shard:
    """Runs that are answered together, and the rows of this shard.

    samples: of the run with the most wordings; the other runs' are their first wordings.
    """

    runs: tuple[Run, ...]
    rows: tuple[int, ...]
    samples: tuple[Sample, ...]

    @property
    def name(self) -> str:
        """The same for every delivery of the message."""
        methods = "+".join(run.key.name for run in self.runs)
        return f"{methods}:{self.rows[0]}-{self.rows[-1]}:{len(self.rows)}"

    def halves(self) -> "list[Shard]":
        """The shard cut in two."""
        middle = len(self.rows) // 2
        return [
            replace(self, rows=self.rows[part], samples=self.samples[part])
            for part in (slice(middle), slice(middle, None))
        ]


def open_shard(location: Location, runs: object, rows: object) -> Shard:
    """Resolve a message. Raises RejectShard for one that is not as it should be, StopRun for a
    run that this worker's store does not have.
    """
    try:
        message = ShardMessage.model_validate_json(json.dumps({"runs": runs, "rows": rows}))
        keys = [RunKey.parse(name) for name in message.runs]
    except (ValidationError, UsageError) as error:
        raise RejectShard(f"message refused: {str(error).splitlines()[0]}") from None
    found = [Run(location, key) for key in keys]
    for run in found:
        if not run.exists():
            raise StopRun(
                f"run {run.key} is not in this worker's store {location.uri}; "
                "SELF_ENSEMBLE_STORE must name the producer's store"
            )
    numbers = message.row_numbers()
    return Shard(tuple(found), tuple(numbers), _samples(found, numbers))


def _samples(runs: Sequence[Run], rows: list[int]) -> tuple[Sample, ...]:
    specs = [run.spec for run in runs]
    if any(spec.engine_options() != specs[0].engine_options() for spec in specs):
        raise RejectShard(f"runs {[str(r.key) for r in runs]} cannot share a prefill")
    fused = {(s.layout, s.positions) for s in specs if s.layout}
    if len(fused) > 1:
        raise RejectShard(f"runs {[str(r.key) for r in runs]} have different layouts")
    read = [run.read_samples(rows) for run in runs]
    widest = max(read, key=lambda samples: len(samples[0].paraphrases))
    for samples in read:
        for narrow, wide in zip(samples, widest, strict=True):
            n = len(narrow.paraphrases)
            if (narrow.uuid, narrow.paraphrases) != (wide.uuid, wide.paraphrases[:n]):
                raise RejectShard(f"runs {[str(r.key) for r in runs]} hold different samples")
    return tuple(widest)

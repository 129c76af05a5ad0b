"""Run activity: what workers report of a run that the store does not hold.

>>> Stop.of_json(Stop(reason="no weights", since=9.5, worker="gpu1").to_json()).worker
'gpu1'
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, ValidationError


class Stop(BaseModel):
    """Why no shard of a run can succeed until a person acts.

    since: seconds since the epoch, by the clock of the broker. worker: who found it.
    """

    model_config = ConfigDict(frozen=True)

    reason: str
    since: float
    worker: str

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def of_json(cls, text: bytes) -> "Stop":
        """Read a stop. Whoever can write to the broker may have written something else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            reason = f"the broker does not tell why: {text[:80].decode(errors='replace')!r}"
            return cls(reason=reason, since=0.0, worker="unknown")


@dataclass(frozen=True)
class RunActivity:
    """What workers report of a run.

    delay: why a shard waits to be tried again. answered: name of each shard at work -> how many
    of its samples are answered; a shard that lost its worker stays until it is taken again.
    """

    stop: Stop | None = None
    delay: str | None = None
    answered: Mapping[str, int] = field(default_factory=dict)

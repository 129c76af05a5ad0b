"""A resolved setting: what a worker chose for itself, and why; each is logged and recorded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResolvedSetting:
    """A value, and the reason it was chosen for."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"

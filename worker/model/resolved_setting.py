"""Resolved settings: choices that a worker makes for itself. They are logged and recorded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResolvedSetting:
    """A value and its reason."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"

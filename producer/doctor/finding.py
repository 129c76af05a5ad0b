"""A finding: one line of what `producer doctor` says."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from producer.plain_text import plain_text

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    level: a fault has to be mended, a warning should be known. remedy: what to do, unless ok.
    """

    subject: str
    level: Level
    text: str
    remedy: str = ""

    def line(self) -> str:
        """Return the finding as a line for a terminal.

        >>> Finding("redis", "warning", "no persistence", "turn it on").line()
        'warning  redis    no persistence: turn it on'
        """
        text = f"{self.text}: {self.remedy}" if self.remedy else self.text
        return f"{self.level:<9}{self.subject:<9}{plain_text(text)}"

    def document(self) -> dict[str, Any]:
        """Return the finding as JSON-able data."""
        return asdict(self)


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, "ok", text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, "warning", text, remedy)


def fault(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, "fault", text, remedy)

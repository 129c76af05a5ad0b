"""What the person asked `mask` for."""

from dataclasses import dataclass
from pathlib import Path

from common.run import Layout, Positions

DEFAULT_LAYOUT: Layout = "concat"


@dataclass(frozen=True)
class MaskRequest:
    """One sample, and how its prompt is made; None is what the person did not say."""

    dataset: str
    data: Path | None
    uuid: str | None
    few_shot: Path | None
    num_few_shot: int | None
    model: str
    method: str
    num_paraphrases: int
    layout: Layout | None
    positions: Positions | None

"""What the person asked `enqueue` or `run` for."""

from dataclasses import dataclass
from pathlib import Path

from common.methods import Method
from common.models import ModelSource
from common.run import DEFAULT_POSITIONS, DTypeName, Layout, Positions, RunKey, run_name


@dataclass(frozen=True)
class EnqueueRequest:
    """What the person asked for; one run for each method."""

    dataset: str
    data: Path | None
    few_shot: Path | None
    num_few_shot: int | None
    model: str
    methods: tuple[str, ...]
    num_paraphrases: int
    layout: Layout
    positions: Positions | None
    max_new_tokens: int
    max_samples: int | None
    shard_size: int
    dtype: DTypeName
    overwrite: bool

    @property
    def chosen_positions(self) -> Positions:
        """The positions asked for, or the layout's default."""
        return self.positions or DEFAULT_POSITIONS[self.layout]

    def key(self, model: ModelSource, method: Method) -> RunKey:
        """The run that answers this request by one method."""
        name = run_name(method.name, self.num_paraphrases, self.layout, self.chosen_positions)
        return RunKey(self.dataset, model.slug, name)

"""What the person asked `enqueue` or `run` for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.errors import UsageError
from common.methods import Method
from common.models import ModelSource
from common.run import DEFAULT_POSITIONS, DTypeName, Layout, Positions, RunKey, run_name
from producer.sources import Selection, Source, open_source


@dataclass(frozen=True)
class EnqueueRequest:
    """What the person asked for; one run for each method.

    None is what was not said. What it comes to then, the data set decides: properties tell.
    Raises UsageError for options that the data set has no use for.
    """

    dataset: str
    data: Path | None
    few_shot: Path | None
    num_few_shot: int | None
    model: str
    methods: tuple[str, ...]
    num_paraphrases: int | None
    num_manual: int | None
    num_auto: int | None
    layout: Layout | None
    positions: Positions | None
    max_new_tokens: int | None
    max_samples: int | None
    shard_size: int
    dtype: DTypeName
    overwrite: bool

    def __post_init__(self) -> None:
        kinds = (self.num_manual, self.num_auto)
        if self.selection is None and kinds != (None, None):
            raise UsageError(
                f"--dataset {self.dataset} has no manual and automatic wordings to choose from "
                "by --num-manual and --num-auto; give --num-paraphrases"
            )
        if self.selection is not None and self.num_paraphrases is not None:
            raise UsageError(
                f"--num-paraphrases {self.num_paraphrases} does not say which wordings of "
                f"--dataset {self.dataset} to take; give --num-manual and --num-auto"
            )

    @cached_property
    def source(self) -> Source:
        """The data set; raises UsageError for an unknown one."""
        return open_source(self.dataset, self.data)

    @cached_property
    def selection(self) -> Selection | None:
        """Which wordings, where the data set has manual and automatic ones."""
        default = self.source.default_selection
        if default is None:
            return None
        manual = default.num_manual if self.num_manual is None else self.num_manual
        return Selection(manual, default.num_auto if self.num_auto is None else self.num_auto)

    @property
    def num_wordings(self) -> int:
        """How many wordings of a question, itself included; a selection may find fewer."""
        if self.selection is not None:
            return self.selection.total
        return self.num_paraphrases or self.source.default_num_paraphrases

    @property
    def chosen_layout(self) -> Layout:
        return self.layout or self.source.default_layout

    @property
    def chosen_positions(self) -> Positions:
        """The positions asked for, or the layout's default."""
        return self.positions or DEFAULT_POSITIONS[self.chosen_layout]

    @property
    def token_limit(self) -> int:
        """How many tokens an answer may have."""
        return self.max_new_tokens or self.source.default_max_new_tokens

    def key(self, model: ModelSource, method: Method, num_few_shot: int) -> RunKey:
        """The run that answers this request by one method, after so many examples."""
        wordings = self.selection.label(num_few_shot) if self.selection else self.num_wordings
        name = run_name(
            method.name, wordings, self.chosen_layout, self.chosen_positions,
            self.source.default_layout,
        )  # fmt: skip
        return RunKey(self.dataset, model.slug, name)

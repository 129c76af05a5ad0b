"""Input of one engine call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.methods import Method
from common.prompts import PromptFormat, before_stop
from common.records import Sample
from common.run import Layout, Positions, SamplingParams

OnAnswered = Callable[[int], object]
"""Hears that so many more samples are answered."""


def nobody_listens(samples: int) -> None:
    """The `OnAnswered` of a caller that shows no progress."""


def as_sample(question: Sample | Sequence[str]) -> Sample:
    """Return a Sample as it is, or make one of a question's paraphrases."""
    return question if isinstance(question, Sample) else Sample(tuple(question))


@dataclass(frozen=True)
class Request:
    """Methods and options, the same for every sample of a call.

    num_paraphrases: the most that are read of a sample. stop: texts that end an answer, outside
    of reasoning. ignore_eos: end tokens end no answer. max_reasoning_tokens: after so many the end
    mark of reasoning is forced; None for no limit of its own. sampling: for methods that draw
    answers.
    """

    methods: tuple[Method, ...]
    num_paraphrases: int
    layout: Layout
    positions: Positions
    prompt_format: PromptFormat
    max_new_tokens: int
    stop: tuple[str, ...] = ("\n",)
    ignore_eos: bool = False
    max_reasoning_tokens: int | None = None
    sampling: SamplingParams | None = None

    def predict(self, text: str) -> str:
        """Return the short answer in a text without reasoning; it ends at a stop string."""
        return self.prompt_format.template.predict(before_stop(text, self.stop))
